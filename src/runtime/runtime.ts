import { formatModelRef, type ModelRef } from '../contract/model.ts';
import type { Json } from '../contract/payload.ts';
import type { Progress, TokenCount } from '../contract/prediction.ts';
import type { ServedModelState } from '../contract/worker-state.ts';
import type { Part } from '../contract/work.ts';
import type { ModelVersion } from '../models/repository.ts';
import type { OutputFile } from '../pipelines/index.ts';
import type { FieldValue } from './protocol.ts';

/** One inference to run. */
export interface InferenceRequest {
  readonly input: Readonly<Record<string, FieldValue>>;
  readonly options: Readonly<Record<string, Json>>;
  /** 1 (first) to 5: the order among the inferences that wait. */
  readonly priority: number;
  /** True: it must run in a batch of its own. */
  readonly isAlone: boolean;
  /** Counted from the moment the input is handed to a model process. */
  readonly runTimeoutMs: number;
  /**
   * Stops the inference: it is dropped while it waits or runs with others. When nobody else is in its batch, its
   * process is asked to stop if its model works in parts, and killed if it does not do so.
   */
  readonly signal: AbortSignal;
  /** What earlier attempts have done of it, as one part; null: nothing. */
  readonly before: Part | null;
  readonly onProgress: (progress: Progress) => void;
  /** Called with each part of the work that is done. */
  readonly onPart: (part: Part) => void;
}

export interface Inference {
  /** The encoded output: JSON, or packed tensors when the request asked for them. */
  readonly output: Uint8Array;
  readonly mediaType: string;
  /** What lies beside the output: the images that it tells of. */
  readonly files: readonly OutputFile[];
  /** How long it waited for its model to be loaded; null when there was nothing to wait for. */
  readonly loadMs: number | null;
  /** How long its batch ran in the model process. */
  readonly inferenceMs: number;
  readonly batchSize: number;
  readonly device: string;
  /** Null: its model counts none. */
  readonly tokens: TokenCount | null;
}

/** Several inferences. They run when nobody else needs the device, several as one where they can. */
export interface ManyRequest extends Pick<InferenceRequest, 'isAlone' | 'runTimeoutMs' | 'signal'> {
  readonly items: readonly Pick<InferenceRequest, 'input' | 'options'>[];
}

export interface VersionFacts {
  readonly version: ModelVersion;
  /** Differs when the version computes something else than before. */
  readonly identity: string;
  /** Whether it tells its work while it runs. */
  readonly isStreaming: boolean;
}

/**
 * Runs models on one device. Rejects with one of the errors below, or with the signal's reason
 * once the inference no longer needs the device.
 */
export interface ModelRuntime {
  infer(model: ModelRef, request: InferenceRequest): Promise<Inference>;
  /** What became of each, in their order. When the signal aborts, each of them that had no result yet rejects. */
  inferMany(
    model: ModelRef,
    request: ManyRequest,
  ): Promise<readonly PromiseSettledResult<Inference>[]>;
  /** Null while the version is not served. */
  factsOf(model: ModelRef): VersionFacts | null;
  /** How each served model version is doing. */
  states(): readonly ServedModelState[];
  /** Called whenever a version's state or its reason changes. */
  onStateChange(listener: () => void): void;
}

/** Why a model process was replaced. */
export type RestartCause =
  | 'crashed'
  | 'load_failed'
  | 'canceled'
  | 'run_timeout'
  | 'not_taken'
  | 'out_of_memory'
  | 'max_runs'
  | 'idle_memory';

export interface BatchFacts {
  readonly queueMs: readonly number[];
  readonly inferenceMs: number;
  readonly tokens: readonly (TokenCount | null)[];
}

/** Called for what happens in a runtime, for metrics. */
export interface RuntimeObserver {
  /** A batch of `queueMs.length` inferences was done; how long each had waited for it, and the tokens it took. */
  batchDone(model: ModelRef, batch: BatchFacts): void;
  processReplaced(model: ModelRef, cause: RestartCause): void;
}

export { InvalidInputError, OutputTooLargeError } from '../pipelines/index.ts';

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

const NOT_SERVED_RETRY_MS = 10_000;

/** A version that this worker does not serve now. */
export const notServed = (model: ModelRef): ModelUnavailableError =>
  new ModelUnavailableError(`${formatModelRef(model)} is not served here`, NOT_SERVED_RETRY_MS);

/**
 * A failure of a whole batch. `isShared`: it had other items, so this item need not be at
 * fault and may succeed alone.
 */
class BatchError extends Error {
  readonly isShared: boolean;
  constructor(message: string, isShared: boolean) {
    super(message);
    this.isShared = isShared;
  }
}

/** The runtime stopped serving the version, or was closed, before the inference was done. */
export class InferenceStoppedError extends Error {
  override readonly name = 'InferenceStoppedError';
}

/** The model process died while it ran this. */
export class ModelCrashedError extends BatchError {
  override readonly name = 'ModelCrashedError';
}

/** The run took longer than it may, and was killed. */
export class RunTimeoutError extends BatchError {
  override readonly name = 'RunTimeoutError';
}

/** The run needed more memory than its model process may have, or than the device has. */
export class OutOfMemoryError extends BatchError {
  override readonly name = 'OutOfMemoryError';
}
