/*
 * The entry point of a model process: it loads one model version and answers the protocol. It
 * knows neither Temporal nor HTTP nor the environment, and it handles no signal: a SIGTERM would
 * have to wait for the run, so its supervisor kills it.
 */
import { messageOf } from '../contract/failure.ts';
import { firstMessage } from '../contract/issue-message.ts';
import { type Json, JSON_MEDIA_TYPE } from '../contract/payload.ts';
import {
  EncodedOutput,
  ImagesOutput,
  InvalidInputError,
  OutputTooLargeError,
  type Pipeline,
  type PipelineInput,
  type PipelineOutput,
  PIPELINES,
  type PipelineSchema,
} from '../pipelines/index.ts';
import { checkFiles } from './checked-files.ts';
import { ItemContext } from './item-context.ts';
import { type Bytes, Lane } from './lane.ts';
import {
  type FromProcess,
  INPUT_LANE,
  type ItemErrorKind,
  type ItemInput,
  type ItemOutcome,
  type LoadSettings,
  OUTPUT_LANE,
  readField,
  type ToProcess,
  unpackInputs,
} from './protocol.ts';

/** The messages of ONNX Runtime and its providers when the device or the host has no memory left. */
const OUT_OF_MEMORY =
  /bad_?alloc|failed to allocate|out of memory|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED|array buffer allocation failed/i;

type LoadMessage = Extract<ToProcess, { type: 'load' }>;
type InferMessage = Extract<ToProcess, { type: 'infer' }>;

interface Loaded {
  readonly pipeline: Pipeline;
  readonly schema: PipelineSchema;
  readonly settings: LoadSettings;
}

/** An outcome with its bytes, in pieces, before they go into the lane. */
type Outcome =
  | {
      readonly status: 'succeeded';
      readonly output: readonly Uint8Array[];
      readonly mediaType: string;
      readonly files: Extract<ItemOutcome, { status: 'succeeded' }>['files'];
    }
  | Extract<ItemOutcome, { status: 'failed' }>;

let loaded: Loaded | null = null;
/** Of the batch that runs, for each of its items: here a cancel finds them. */
let running: readonly ItemContext[] = [];
let inputLane = new Lane(null);
let outputLane = new Lane(null);

const send = (message: FromProcess): void => {
  process.send?.(message);
};

process.on('message', (message: ToProcess) => {
  if (message.type === 'cancel') running[message.item]?.stop();
  else void (message.type === 'load' ? load(message) : infer(message));
});
process.on('disconnect', () => process.exit(0)); // the worker is gone

async function load({ settings, hasLanes, checkedFiles }: LoadMessage): Promise<void> {
  inputLane = new Lane(hasLanes ? INPUT_LANE : null);
  outputLane = new Lane(hasLanes ? OUTPUT_LANE : null);
  try {
    const checked = await checkFiles(settings.manifest, settings.files, new Set(checkedFiles));
    const entry = PIPELINES[settings.manifest.pipeline];
    if (entry === undefined) throw new Error(`no such pipeline ${settings.manifest.pipeline}`);
    const { manifest, graphs, configs } = settings;
    const schema = entry.describe(manifest, graphs, configs);
    const pipeline = await entry.open({ ...settings, limits: { maxPixels: settings.maxPixels } });
    loaded = { pipeline, schema, settings };
    send({ type: 'ready', checkedFiles: checked });
  } catch (error) {
    send({ type: 'load_failed', message: messageOf(error) });
  }
}

async function infer({ inputs: packed, options: given, before }: InferMessage): Promise<void> {
  if (loaded === null) throw new Error('an inference came before its model was loaded');
  send({ type: 'taken' });
  const startedAt = performance.now();
  const inputs = unpackInputs(packed, inputLane);
  const parsed = loaded.schema.options.safeParse(given); // this fills in the defaults
  if (!parsed.success) {
    send(refusalOf(inputs.length, firstMessage(parsed.error.issues, ['options'])));
    return;
  }
  const options = parsed.data;
  const begin = () => {
    running = inputs.map((_input, item) => new ItemContext(item, before[item] ?? null, send));
    return running;
  };
  const isSeveral = inputs.length > 1;
  const together = isSeveral ? await runTogether(inputs, options, begin(), loaded) : null;
  const outcomes = together ?? (await runEach(inputs, options, begin(), loaded));
  const inferenceMs = Math.round((performance.now() - startedAt) * 1000) / 1000;
  const tokens = running.map((context) => context.tokens);
  running = [];
  send({ type: 'done', outcomes: layDown(outcomes), tokens, inferenceMs });
}

/** The options were right when they were accepted: the manifest has changed since. */
function refusalOf(items: number, why: string): FromProcess {
  const message = `the model has changed since the request was accepted: ${why}`;
  const outcome = { status: 'failed', error: 'invalid_input', message, reason: null } as const;
  const all = Array.from({ length: items }, () => outcome);
  return { type: 'done', outcomes: all, tokens: all.map(() => null), inferenceMs: 0 };
}

/** Large outputs go into the lane. */
function layDown(outcomes: readonly Outcome[]): readonly ItemOutcome[] {
  const laid = outputLane.put(
    outcomes.flatMap((each) => (each.status === 'succeeded' ? [each.output] : [])),
  );
  const next = laid.values();
  return outcomes.map((each) =>
    each.status === 'succeeded' ? { ...each, output: next.next().value as Bytes } : each,
  );
}

/** Null when the pipeline refuses the batch as a whole. One bad item must not fail the others. */
async function runTogether(
  inputs: readonly ItemInput[],
  options: PipelineInput['options'],
  contexts: readonly ItemContext[],
  { pipeline, settings }: Loaded,
): Promise<readonly Outcome[] | null> {
  try {
    const items = inputs.map((input) => ({ input: readFields(input), options }));
    const outputs = await pipeline.inferBatch?.(items, contexts);
    return outputs?.map((output) => encode(output, settings)) ?? null;
  } catch {
    return null;
  }
}

async function runEach(
  inputs: readonly ItemInput[],
  options: PipelineInput['options'],
  contexts: readonly ItemContext[],
  { pipeline, settings }: Loaded,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const [item, context] of contexts.entries()) {
    try {
      const input = readFields(inputs[item] ?? {});
      const output = await pipeline.infer({ input, options }, context);
      outcomes.push(encode(output, settings));
    } catch (error) {
      outcomes.push(failureOf(error));
    } finally {
      context.flush();
    }
  }
  return outcomes;
}

const readFields = (input: ItemInput): PipelineInput['input'] =>
  Object.fromEntries(Object.entries(input).map(([field, value]) => [field, readField(value)]));

function encode(output: PipelineOutput, { maxOutputBytes }: LoadSettings): Outcome {
  const isEncoded = output instanceof EncodedOutput;
  const files = output instanceof ImagesOutput ? output.files : [];
  const own = isEncoded
    ? output.parts
    : toJsonParts(output instanceof ImagesOutput ? output.json : output);
  const parts = own === null ? null : [...files.map(({ bytes }) => bytes), ...own];
  const length = parts?.reduce((sum, part) => sum + part.length, 0) ?? Number.POSITIVE_INFINITY;
  if (parts !== null && length <= maxOutputBytes) {
    const mediaType = isEncoded ? output.mediaType : JSON_MEDIA_TYPE;
    const refs = files.map(({ bytes, ...file }) => ({ length: bytes.length, ...file }));
    return { status: 'succeeded', output: parts, mediaType, files: refs };
  }
  const size = parts === null ? 'more JSON than fits into a string' : `${length} bytes`;
  const message = `the output has ${size}, more than the ${maxOutputBytes} bytes allowed (BUZZER_MAX_OUTPUT)`;
  return { status: 'failed', error: 'output_too_large', message, reason: null };
}

/** The value as JSON; null when that is longer than a string can be. */
function toJsonParts(output: Json): readonly Uint8Array[] | null {
  try {
    return [Buffer.from(JSON.stringify(output))];
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

const failureOf = (error: unknown): Outcome => ({
  status: 'failed',
  error: kindOf(error),
  message: messageOf(error),
  reason: error instanceof InvalidInputError ? error.reason : null,
});

function kindOf(error: unknown): ItemErrorKind {
  if (error instanceof InvalidInputError) return 'invalid_input';
  if (error instanceof OutputTooLargeError) return 'output_too_large';
  return OUT_OF_MEMORY.test(messageOf(error)) ? 'out_of_memory' : 'internal';
}
