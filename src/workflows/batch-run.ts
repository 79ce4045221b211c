/* One run of the workflow of a batch: chunks, until all items are done, or the batch ends before its time. */
import { TimeoutType } from '@temporalio/common';
import {
  ActivityFailure,
  CancellationScope,
  setCurrentDetails,
  TimeoutFailure,
  upsertMemo,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import {
  type BatchProgress,
  type EndedBatch,
  type ItemCounts,
  itemError,
  type ItemError,
  type ItemRange,
  progressOf,
} from '../contract/batch.ts';
import {
  type AssembleRequest,
  type BatchRequest,
  type ChunkSoFar,
  type DoneChunk,
  type EarlierRuns,
  type InferChunkResult,
  MEMO_PROGRESS,
} from '../contract/batch-messages.ts';
import { parseDurationMs } from '../contract/duration.ts';
import { timedId } from '../contract/ids.ts';
import { modelRefOf } from '../contract/model.ts';
import { startsAt } from '../contract/prediction.ts';
import type { Claim } from '../contract/payload.ts';
import {
  batchFilesWithin,
  type ChunkLimits,
  fetchItemsWithin,
  inferChunkOn,
} from './activities.ts';
import { hasStarted, isTimeout } from './attempts.ts';
import { ChunkPlan } from './chunk-plan.ts';
import { failureIn, LATE } from './endings.ts';

/** A longer history is replayed slowly. */
const MAX_HISTORY_LENGTH = 2000;

/** Why a batch ends before all its items are done. */
type Stop =
  | { readonly kind: 'failed'; readonly error: ItemError }
  /** No worker ever took a chunk of it. */
  | { readonly kind: 'aborted'; readonly error: ItemError };

export class BatchRun {
  readonly #request: BatchRequest;
  readonly #plan: ChunkPlan;
  readonly #scope = new CancellationScope();
  readonly #running = new Set<Promise<void>>();
  #progress: BatchProgress | null;
  /** Chunks that are done, of this run. */
  #chunks: readonly DoneChunk[] = [];
  #kept: readonly Claim[];
  #stop: Stop | null = null;
  #hasStarted: boolean;
  /** What was fetched for the items; null: nothing had to be. */
  #fetched: Claim | null;

  constructor(request: BatchRequest) {
    const { accepted, earlier } = request;
    this.#request = request;
    this.#progress = earlier?.progress ?? null;
    this.#kept = earlier?.kept ?? [];
    this.#hasStarted = earlier !== null;
    this.#fetched = earlier?.fetched ?? null;
    const all = [{ from: 0, to: accepted.items.total }];
    this.#plan = new ChunkPlan(earlier?.left ?? all, earlier?.width);
  }

  get progress(): BatchProgress | null {
    return this.#progress;
  }

  /** Runs chunks. False: another run of the workflow has to go on. */
  async infer(): Promise<boolean> {
    await this.#fetch();
    for (;;) {
      const mustLeave = this.#mustLeave;
      if (!mustLeave && !this.#isCanceled) this.#beginChunks();
      if (this.#running.size === 0) return !mustLeave || this.#hasEnded;
      await Promise.race(this.#running);
    }
  }

  /** Brings what items give by URL into the store. */
  async #fetch(): Promise<void> {
    const { id, tenant, items } = this.#request.accepted;
    if (items.fetches === null || this.#fetched !== null) return;
    const remainingMs = Math.max(1, this.#remainingMs);
    try {
      const fetchItems = fetchItemsWithin(remainingMs, this.#request.heartbeatTimeoutMs);
      this.#fetched = await fetchItems({ id, tenant, items });
    } catch (error) {
      if (this.#isCanceled) return;
      const failure = itemErrorIn(error);
      // Nothing has run yet: a deadline that passes here aborts.
      const kind = failure.code === 'deadline_exceeded' ? 'aborted' : 'failed';
      this.#end({ kind, error: failure });
    }
  }

  /** What the next run needs to go on; null: it cannot, and the batch fails. */
  async leave(): Promise<EarlierRuns | null> {
    const { id, tenant } = this.#request.accepted;
    const { keepChunks } = this.#files();
    let list: Claim;
    try {
      list = await keepChunks({ id, tenant, chunks: this.#chunks });
    } catch (error) {
      this.#end({ kind: 'failed', error: itemErrorIn(error) });
      return null;
    }
    return {
      progress: this.#progress ?? this.#begun(new Date().toISOString()),
      left: this.#plan.left,
      kept: [...this.#kept, list],
      width: this.#plan.width,
      fetched: this.#fetched,
    };
  }

  /** Puts the results together. */
  async end(): Promise<EndedBatch> {
    const stop = this.#stop;
    const base = () => ({
      counts: this.#progress?.counts ?? { succeeded: 0, failed: 0 },
      started_at: this.#progress?.started_at ?? null,
      completed_at: new Date().toISOString(),
    });
    if (stop?.kind === 'aborted') {
      return { status: 'aborted', error: stop.error, ...base(), output: null };
    }
    let output: Claim | null = null;
    try {
      return await CancellationScope.nonCancellable(async () => {
        output = await this.#assemble();
        const files = await this.#writeResultFiles(output);
        const results = { ...base(), output, ...files };
        if (stop !== null) return { status: 'failed', error: stop.error, ...results };
        const isWhole = this.#plan.left.length === 0;
        return { status: isWhole ? 'succeeded' : 'canceled', ...results };
      });
    } catch (error) {
      const failure = stop?.error ?? itemErrorIn(error);
      return { status: 'failed', error: failure, ...base(), output };
    }
  }

  /** Removes results that are in the output now. */
  async dropChunks(): Promise<void> {
    const { id, tenant } = this.#request.accepted;
    await this.#files().dropChunks({ id, tenant });
  }

  get #mustLeave(): boolean {
    const { continueAsNewSuggested, historyLength } = workflowInfo();
    return continueAsNewSuggested || historyLength > MAX_HISTORY_LENGTH;
  }

  get #isCanceled(): boolean {
    return CancellationScope.current().consideredCancelled;
  }

  /** Nothing of it is left to be done. */
  get #hasEnded(): boolean {
    return this.#isCanceled || this.#stop !== null || this.#plan.left.length === 0;
  }

  #beginChunks(): void {
    for (let range = this.#plan.next(); range !== null; range = this.#plan.next()) {
      const chunk = this.#chunk(range).finally(() => this.#running.delete(chunk));
      this.#running.add(chunk);
    }
  }

  async #chunk(range: ItemRange): Promise<void> {
    const { id, tenant, model, version, options, items, run_timeout } = this.#request.accepted;
    const limits = this.#limits();
    if (limits.remainingMs <= 0) {
      this.#plan.failed(range);
      this.#end({ kind: 'failed', error: itemError('deadline_exceeded', LATE) });
      return;
    }
    const inferChunk = inferChunkOn(modelRefOf(this.#request.accepted), limits);
    const runTimeoutMs = parseDurationMs(run_timeout) ?? 0;
    const fetched = this.#fetched;
    const request = { id, tenant, model, version, options, items, range, fetched, runTimeoutMs };
    try {
      this.#done(range, await this.#scope.run(async () => await inferChunk(request)));
    } catch (error) {
      this.#failed(range, error);
    }
  }

  #done(range: ItemRange, { began_at, waited_ms, ...soFar }: InferChunkResult): void {
    this.#note(range, soFar, began_at);
    this.#plan.ended(range, { to: soFar.to, waitedMs: waited_ms });
  }

  #failed(range: ItemRange, error: unknown): void {
    const soFar = lastHeartbeat(error);
    if (soFar === null || soFar.to === range.from) this.#plan.failed(range);
    else {
      const now = new Date().toISOString();
      this.#note(range, soFar, now);
      this.#plan.ended(range, { to: soFar.to, waitedMs: Infinity });
    }
    if (this.#isCanceled || this.#stop !== null) return;
    if (isTimeout(error, TimeoutType.SCHEDULE_TO_START) && this.#remainingMs > 0) {
      // Temporal applies the timeout to every attempt. A chunk that had started before is begun again.
      const isStarted = this.#hasStarted || isTaken(error);
      this.#hasStarted = isStarted;
      if (isStarted) return;
      const message = `no worker started it within its queue_ttl of ${this.#request.accepted.queue_ttl}`;
      this.#end({ kind: 'aborted', error: itemError('queue_timeout', message) });
      return;
    }
    const failure = itemErrorIn(error);
    const isLate = failure.code === 'deadline_exceeded' && !this.#hasStarted && !isTaken(error);
    this.#end({ kind: isLate ? 'aborted' : 'failed', error: failure });
  }

  #end(stop: Stop): void {
    this.#stop ??= stop;
    this.#plan.stop();
    this.#scope.cancel();
  }

  /** Notes what is done, for whoever reads the record. */
  #note({ from }: ItemRange, { to, parts, counts }: ChunkSoFar, beganAt: string): void {
    const before = this.#progress ?? this.#begun(beganAt);
    this.#hasStarted = true;
    this.#chunks = [...this.#chunks, { from, to, parts, counts }];
    this.#progress = {
      ...before,
      counts: {
        succeeded: before.counts.succeeded + counts.succeeded,
        failed: before.counts.failed + counts.failed,
      },
      updated_at: new Date().toISOString(),
    };
    upsertMemo({ [MEMO_PROGRESS]: this.#progress });
    const { progress } = progressOf(this.#request.accepted, this.#progress);
    const { failed } = this.#progress.counts;
    setCurrentDetails(`${progress?.message ?? ''}${failed === 0 ? '' : `, ${failed} failed`}`);
  }

  #begun(beganAt: string): BatchProgress {
    return { counts: { succeeded: 0, failed: 0 }, started_at: beganAt, updated_at: beganAt };
  }

  async #assemble(): Promise<Claim | null> {
    const { id, tenant, items } = this.#request.accepted;
    const request = { id, tenant, items, kept: this.#kept, chunks: this.#chunks };
    const { output, lost } = await this.#files().assemble({ ...request, rest: this.#rest() });
    this.#forget(lost);
    return output;
  }

  /** Nothing when the batch came in our own dialect. */
  async #writeResultFiles(output: Claim | null): Promise<Pick<EndedBatch, 'files'>> {
    const { id, tenant, items, openai, model, created_at } = this.#request.accepted;
    if (openai === undefined || output === null) return {};
    const { succeeded } = this.#progress?.counts ?? { succeeded: 0 };
    const files = {
      output: succeeded > 0 ? newFileId() : null,
      errors: succeeded < items.total ? newFileId() : null,
    };
    const request = { id, tenant, model, created_at, openai, output, files };
    await this.#files().writeResultFiles(request);
    return { files };
  }

  /** Counts items whose results were lost as failed. */
  #forget({ succeeded }: ItemCounts): void {
    if (this.#progress === null || succeeded === 0) return;
    const { counts } = this.#progress;
    this.#progress = {
      ...this.#progress,
      counts: { succeeded: counts.succeeded - succeeded, failed: counts.failed + succeeded },
    };
  }

  /**
   * What the output says of items that are not done: nothing when the batch has failed, because the items themselves
   * may be what cannot be read.
   */
  #rest(): AssembleRequest['rest'] {
    if (this.#stop === null) return { status: 'canceled', error: null };
    const { error } = this.#stop;
    return error.code === 'deadline_exceeded' ? { status: 'failed', error } : null;
  }

  #files() {
    return batchFilesWithin(this.#remainingMs, this.#request.heartbeatTimeoutMs);
  }

  get #remainingMs(): number {
    return Date.parse(this.#request.accepted.deadline_at) - Date.now();
  }

  #limits(): ChunkLimits {
    const { accepted, heartbeatTimeoutMs } = this.#request;
    const queueTtlMs = parseDurationMs(accepted.queue_ttl) ?? Infinity;
    const queuedAtMs = Date.parse(startsAt(accepted));
    return {
      heartbeatTimeoutMs,
      remainingMs: this.#remainingMs,
      queueTtlMs: this.#hasStarted ? null : Math.max(1, queuedAtMs + queueTtlMs - Date.now()),
      priority: accepted.priority,
      tenant: accepted.tenant,
    };
  }
}

function itemErrorIn(error: unknown): ItemError {
  const { code, message, reason } = failureIn(error);
  return itemError(code, message, reason);
}

const newFileId = (): string =>
  timedId('file', Date.now(), uuid4().replaceAll('-', '').slice(0, 20));

/** What an attempt that timed out had told last. */
function lastHeartbeat(error: unknown): ChunkSoFar | null {
  const cause = error instanceof ActivityFailure ? error.cause : null;
  if (!(cause instanceof TimeoutFailure)) return null;
  return (cause.lastHeartbeatDetails as ChunkSoFar | undefined) ?? null;
}

/** Whether a worker ever took the chunk. */
const isTaken = (error: unknown): boolean =>
  error instanceof ActivityFailure &&
  error.cause instanceof TimeoutFailure &&
  hasStarted(error, error.cause);
