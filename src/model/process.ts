/*
 * The entry point of a model process: it loads one model version and answers the protocol. It
 * knows neither Temporal nor HTTP nor the environment, and it handles no signal: a SIGTERM would
 * have to wait for the run, so its supervisor kills it.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline as pump } from 'node:stream/promises';
import { messageOf } from '../contract/failure.ts';
import {
  InvalidInputError,
  type Pipeline,
  PIPELINES,
  type PipelineSchema,
} from '../pipelines/index.ts';
import type { FieldValue, FromProcess, LoadSettings, ToProcess } from './protocol.ts';

interface Loaded {
  readonly pipeline: Pipeline;
  readonly schema: PipelineSchema;
  readonly settings: LoadSettings;
}

let loaded: Loaded | null = null;

const send = (message: FromProcess): void => {
  process.send?.(message);
};

process.on('message', (message: ToProcess) => {
  void (message.type === 'load' ? load(message.settings) : infer(message));
});
process.on('disconnect', () => process.exit(0)); // the worker is gone

async function load(settings: LoadSettings): Promise<void> {
  try {
    await checkHashes(settings);
    const entry = PIPELINES[settings.manifest.pipeline];
    if (entry === undefined) throw new Error(`no such pipeline ${settings.manifest.pipeline}`);
    const pipeline = await entry.open({ ...settings, limits: { maxPixels: settings.maxPixels } });
    loaded = { pipeline, schema: entry.describe(settings.manifest, settings.graphs), settings };
    send({ type: 'ready' });
  } catch (error) {
    send({ type: 'load_failed', message: messageOf(error) });
  }
}

async function infer(request: Extract<ToProcess, { type: 'infer' }>): Promise<void> {
  if (loaded === null)
    return send({ type: 'error', kind: 'internal', message: 'nothing is loaded' });
  const { pipeline, schema, settings } = loaded;
  try {
    const input = Object.fromEntries(
      Object.entries(request.input).map(([field, value]) => [field, fieldValue(value)]),
    );
    const options = schema.options.parse(request.options); // checked at acceptance: fills in defaults
    const startedAt = performance.now();
    const result = await pipeline.infer(input, options, {
      report: (fraction, message) => send({ type: 'progress', progress: { fraction, message } }),
    });
    const inferenceMs = Math.round((performance.now() - startedAt) * 1000) / 1000;
    const output = Buffer.from(JSON.stringify(result));
    if (output.length > settings.maxOutputBytes) {
      const message = `the output has ${output.length} bytes, more than the ${settings.maxOutputBytes} allowed (BUZZER_MAX_OUTPUT)`;
      return send({ type: 'error', kind: 'output_too_large', message });
    }
    return send({ type: 'result', output, inferenceMs });
  } catch (error) {
    const kind = error instanceof InvalidInputError ? 'invalid_input' : 'internal';
    return send({ type: 'error', kind, message: messageOf(error) });
  }
}

function fieldValue(value: FieldValue): unknown {
  if ('json' in value) return value.json;
  if ('media' in value) return value.media;
  return JSON.parse(Buffer.from(value.jsonBytes).toString('utf8'));
}

/** Weights whose hash differs from the manifest's are refused. */
async function checkHashes({ manifest, files }: LoadSettings): Promise<void> {
  for (const [role, { sha256 }] of Object.entries(manifest.files)) {
    if (sha256 === undefined) continue;
    const hash = createHash('sha256');
    await pump(createReadStream(files[role] ?? ''), hash);
    const found = hash.digest('hex');
    if (found !== sha256) {
      throw new Error(`files.${role}: sha256 is ${found}, but the manifest says ${sha256}`);
    }
  }
}
