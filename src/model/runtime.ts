import type { ModelRef } from '../contract/model.ts';
import type { Json } from '../contract/payload.ts';
import type { Progress } from '../contract/prediction.ts';
import type { ServedModelState } from '../contract/worker-state.ts';
import type { FieldValue } from './protocol.ts';

/** One inference to run. */
export interface InferenceRequest {
  readonly input: Readonly<Record<string, FieldValue>>;
  readonly options: Readonly<Record<string, Json>>;
  /** Counted from the moment the input is handed to a model process. */
  readonly runTimeoutMs: number;
  /** Stops the inference: it is dropped while it waits, and its process is killed when it runs. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}

export interface Inference {
  /** The output as JSON, encoded. */
  readonly output: Uint8Array;
  /** When the input was handed to the model process; milliseconds since the epoch. */
  readonly startedAtMs: number;
  readonly inferenceMs: number;
  readonly batchSize: number;
  readonly device: string;
}

/**
 * Runs models on one device. Rejects with one of the errors below, or with the signal's reason
 * once the device is free of a stopped inference.
 */
export interface ModelRuntime {
  infer(model: ModelRef, request: InferenceRequest): Promise<Inference>;
  /** How each served model version is doing. */
  states(): readonly ServedModelState[];
  /** Called whenever `states` would answer differently. */
  onStateChange(listener: () => void): void;
  /** Starts the versions that want to be loaded before their first request. */
  preload(): void;
  /** Ends every model process; waits until they are gone. */
  close(): Promise<void>;
}

export { InvalidInputError } from '../pipelines/index.ts';

/** The model's answer is larger than allowed. */
export class OutputTooLargeError extends Error {
  override readonly name = 'OutputTooLargeError';
}

/** The run failed although its process lives: ONNX Runtime or the pipeline refused. */
export class InferenceFailedError extends Error {
  override readonly name = 'InferenceFailedError';
}

/** The model version cannot be loaded now; it is tried again by itself. */
export class ModelUnavailableError extends Error {
  override readonly name = 'ModelUnavailableError';
  readonly retryAfterMs: number;
  constructor(message: string, retryAfterMs: number) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** The model process died while it ran this. */
export class ModelCrashedError extends Error {
  override readonly name = 'ModelCrashedError';
}

/** The run took longer than it may, and was killed. */
export class RunTimeoutError extends Error {
  override readonly name = 'RunTimeoutError';
}
