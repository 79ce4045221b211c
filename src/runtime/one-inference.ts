import type { Json } from '../contract/payload.ts';
import { createLogger } from '../telemetry/logger.ts';
import { ProcessModelRuntime } from './process-runtime.ts';
import type { ModelVersion } from '../models/repository.ts';
import type { Inference } from './runtime.ts';

export interface OneInferenceOptions {
  readonly version: ModelVersion;
  readonly inputs: Json;
  readonly device: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs: number;
  /** The compiled entry point of a model process; by default the one beside this file. */
  readonly processFile?: string;
}

/** Loads a `tensor` model, runs it once and ends its process again. */
export async function inferOnce(options: OneInferenceOptions): Promise<Inference> {
  const { version, inputs, device, environment, timeoutMs, processFile } = options;
  const runtime = new ProcessModelRuntime({
    device,
    environment,
    maxPixels: 1,
    maxOutputBytes: 1024 ** 2,
    logger: createLogger('once', 'silent'),
    ...(processFile === undefined ? {} : { processFile }),
  });
  try {
    await runtime.serve(version);
    return await runtime.infer(version.ref, {
      input: { inputs: { kind: 'value', value: inputs } },
      options: {},
      priority: 3,
      isAlone: true,
      runTimeoutMs: timeoutMs,
      signal: AbortSignal.timeout(timeoutMs),
      before: null,
      onProgress: () => {},
      onPart: () => {},
    });
  } finally {
    await runtime.close();
  }
}
