/*
 * One batch while it runs in a model process: who is in it, who still wants its result, and why its
 * process must be killed. The supervisor does the killing; each item is settled exactly once.
 *
 *  R1  A canceled item of a shared batch is only dropped: the others go on.
 *  R2  When nobody is left, or the run timeout passes, the process is killed; what was in it until
 *      then is settled when the process is gone, so that the device is free. A process that can stop between two
 *      parts of its work is asked first, and keeps its model when it does so in time.
 *  R3  A failure of a batch with several items says so (`isShared`): each item may succeed alone.
 *  R4  A process that does not take its input (it was stopped by its host, say) has not run it: it is
 *      replaced, and nothing counts against the input.
 */
import type { TokenCount } from '../contract/prediction.ts';
import type { OutputFile } from '../pipelines/index.ts';
import type { FromProcess, ItemOutcome } from './protocol.ts';
import {
  type BatchFacts,
  type Inference,
  InferenceFailedError,
  InferenceStoppedError,
  type InferenceRequest,
  InvalidInputError,
  ModelCrashedError,
  ModelUnavailableError,
  OutOfMemoryError,
  OutputTooLargeError,
  type RestartCause,
  RunTimeoutError,
} from './runtime.ts';

/** An inference on its way through a pool, with the functions that settle it. */
export interface BatchItem {
  readonly request: InferenceRequest;
  readonly resolve: (inference: Inference) => void;
  readonly reject: (error: unknown) => void;
}

/** The answer of the process, with its bytes read from the lane. */
export interface BatchResult {
  /** One for each item, in their order. */
  readonly outcomes: readonly (
    | {
        readonly status: 'succeeded';
        readonly output: Uint8Array;
        readonly mediaType: string;
        readonly files: readonly OutputFile[];
      }
    | Extract<ItemOutcome, { status: 'failed' }>
  )[];
  readonly tokens: readonly (TokenCount | null)[];
  readonly inferenceMs: number;
}

export interface BatchRunOptions {
  /** For messages: `ocr@1`. */
  readonly label: string;
  readonly device: string;
  /** Kills the process that runs the batch. */
  readonly kill: () => void;
  /** Asks the process to stop working on an item; absent: it could not do so. */
  readonly cancel?: (item: number) => void;
  /** Called with the duration of the batch and its tokens when it is done. */
  readonly onDone: (facts: Omit<BatchFacts, 'queueMs'>) => void;
  /** For each item, how long it waited for its model to be loaded; see `Inference`. */
  readonly loadMs?: readonly (number | null)[];
  readonly takePatienceMs?: number;
}

/** Taking an input means reading a message and a file in memory; that is quick even on a busy machine. */
const TAKE_PATIENCE_MS = 10_000;
const RETRY_UNTAKEN_MS = 100;
/** How long a process may go on that was asked to stop. */
const STOP_PATIENCE_MS = 1000;

export class BatchRun {
  readonly size: number;
  readonly #options: BatchRunOptions;
  /** Null: settled. */
  readonly #items: (BatchItem | null)[];
  readonly #timer: NodeJS.Timeout;
  readonly #takeTimer: NodeJS.Timeout;
  #stopTimer: NodeJS.Timeout | undefined;
  #isTaken = false;
  #killed: { readonly cause: RestartCause; readonly error: unknown } | null = null;

  /** `items` share their run timeout. Starts the clock. */
  constructor(items: readonly BatchItem[], options: BatchRunOptions) {
    this.size = items.length;
    this.#items = [...items];
    this.#options = options;
    const timeoutMs = items[0]?.request.runTimeoutMs ?? 0;
    this.#takeTimer = setTimeout(
      () => this.#giveUpUntaken(),
      options.takePatienceMs ?? TAKE_PATIENCE_MS,
    );
    this.#timer = setTimeout(() => {
      if (!this.#isTaken) {
        this.#giveUpUntaken();
        return;
      }
      const message = `the run took longer than its ${timeoutMs} ms and was stopped`;
      this.#kill('run_timeout', new RunTimeoutError(message, this.#isShared));
    }, timeoutMs);
  }

  /** Why we have killed the process; null if we have not. */
  get killedFor(): RestartCause | null {
    return this.#killed?.cause ?? null;
  }

  /** Its process takes more memory than it may. */
  stopForMemory(detail: string): void {
    this.#kill('out_of_memory', new OutOfMemoryError(detail, this.#isShared));
  }

  /** The process has its input: whatever happens from now on is caused by the run. */
  taken(): void {
    this.#isTaken = true;
    clearTimeout(this.#takeTimer);
  }

  #giveUpUntaken(): void {
    const message = `a model process of ${this.#options.label} did not take its input, and was replaced`;
    this.#kill('not_taken', new ModelUnavailableError(message, RETRY_UNTAKEN_MS));
  }

  /** What the process says while it runs. */
  progress({ item, progress }: Extract<FromProcess, { type: 'progress' }>): void {
    this.#items[item]?.request.onProgress(progress);
  }

  /** A part of the work that the process has done. */
  part({ item, part }: Extract<FromProcess, { type: 'partial' }>): void {
    this.#items[item]?.request.onPart(part);
  }

  /** The process is done: every item gets its outcome, and the reason of its signal if it was stopped. */
  done({ outcomes, tokens, inferenceMs }: BatchResult): void {
    // What was stopped is counted when it has been gone on with, and has a result.
    const counted = tokens.map((each, index) => {
      return outcomes[index]?.status === 'succeeded' ? each : null;
    });
    this.#options.onDone({ inferenceMs, tokens: counted });
    this.#settle((item, index) => {
      const outcome = outcomes[index];
      if (outcome?.status !== 'succeeded') {
        const { signal } = item.request;
        item.reject(signal.aborted ? signal.reason : errorOf(outcome));
        return;
      }
      const { output, mediaType, files } = outcome;
      item.resolve({
        output,
        mediaType,
        files,
        inferenceMs,
        loadMs: this.#options.loadMs?.[index] ?? null,
        batchSize: this.size,
        device: this.#options.device,
        tokens: tokens[index] ?? null,
      });
    });
  }

  /** The process is gone; `how` it ended, when it was not our doing. */
  died(how: string): void {
    const message = `the model process of ${this.#options.label} ended ${how} during the run`;
    const error = this.#killed?.error ?? new ModelCrashedError(message, this.#isShared);
    this.#settle((item) => item.reject(error));
  }

  /** The process was stopped for a reason that has nothing to do with the run. */
  abandoned(): void {
    const message = `its worker stopped serving ${this.#options.label} before the run was done`;
    const error = this.#killed?.error ?? new InferenceStoppedError(message);
    this.#settle((item) => item.reject(error));
  }

  /** Drops a canceled item; it rejects with the reason of its signal. */
  drop(item: BatchItem): void {
    const index = this.#items.indexOf(item);
    if (this.#killed !== null || index === -1) return;
    const { reason } = item.request.signal;
    if (this.#items.filter((other) => other !== null).length === 1) {
      this.#stop(index, reason); // R2
      return;
    }
    this.#items[index] = null; // R1
    item.reject(reason);
  }

  #stop(index: number, reason: unknown): void {
    const { cancel } = this.#options;
    if (cancel === undefined) {
      this.#kill('canceled', reason);
      return;
    }
    if (this.#stopTimer !== undefined) return; // it was asked
    this.#stopTimer = setTimeout(() => this.#kill('canceled', reason), STOP_PATIENCE_MS);
    cancel(index);
  }

  get #isShared(): boolean {
    return this.size > 1;
  }

  #kill(cause: RestartCause, error: unknown): void {
    if (this.#killed !== null) return;
    this.#killed = { cause, error };
    this.#options.kill();
  }

  #settle(tell: (item: BatchItem, index: number) => void): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#takeTimer);
    clearTimeout(this.#stopTimer);
    for (const [index, item] of this.#items.entries()) {
      this.#items[index] = null;
      if (item !== null) tell(item, index);
    }
  }
}

/** The same in a shared batch as alone: the process has already tried each item by itself. */
function errorOf(outcome: Extract<ItemOutcome, { status: 'failed' }> | undefined): Error {
  if (outcome === undefined) return new InferenceFailedError('the model process lost an item');
  const { error, message, reason } = outcome;
  switch (error) {
    case 'invalid_input':
      return new InvalidInputError(message, { reason });
    case 'output_too_large':
      return new OutputTooLargeError(message);
    case 'out_of_memory':
      return new OutOfMemoryError(message, false);
    case 'internal':
      return new InferenceFailedError(message);
  }
}
