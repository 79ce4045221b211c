/* Why a queued prediction waits: who serves its model, and how much is ahead of it. */
import { inferenceQueue, ORCHESTRATION_QUEUE } from '../contract/task-queues.ts';
import { formatModelRef, type ModelRef } from '../contract/model.ts';
import type { Prediction, QueueReason } from '../contract/prediction.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Engine, QueueState } from '../temporal/engine.ts';
import { remember } from './remember.ts';
import { type ServingWorker, WorkerStates } from './worker-states.ts';

const RETRY_AFTER_S = { least: 1, most: 60 };
/** A worker takes two predictions for each that it can run: one runs, one is ready. */
const SLOTS_PER_RUN = 2;
const FRESH_MS = 1000; // many clients may ask at once; nothing changes faster than this

export interface QueueView {
  readonly depth: number | null;
  readonly reason: QueueReason;
}

export interface WhyQueuedDependencies {
  readonly store: PayloadStore;
  readonly engine: Engine;
  readonly logger: Logger;
}

export class WhyQueued {
  readonly #engine: Engine;
  readonly #readWorkers: () => ReturnType<WorkerStates['read']>;
  readonly #queueStates = new Map<string, () => Promise<QueueState>>();

  constructor({ store, engine, logger }: WhyQueuedDependencies) {
    const states = new WorkerStates(store, logger);
    this.#engine = engine;
    this.#readWorkers = remember(async () => await states.read(), FRESH_MS);
  }

  /** The living workers that serve a model version. */
  async workersOf(model: ModelRef): Promise<readonly ServingWorker[]> {
    return (await this.#readWorkers()).get(formatModelRef(model)) ?? [];
  }

  /**
   * When asking again may be worth it, in whole seconds: by how long its model takes, and how much is
   * ahead. A second where nobody can tell.
   */
  async retryAfterS(record: Prediction): Promise<number> {
    const { model, version, status, queue, started_at, start_after } = record;
    const delayMs = start_after === null ? 0 : Date.parse(start_after) - Date.now();
    if (delayMs > 0) return clampSeconds(delayMs);
    const workers = await this.workersOf({ name: model, version }).catch(() => []);
    const known = workers.flatMap(({ inference_ms: ms }) => (ms === null ? [] : [ms]));
    if (known.length === 0) return RETRY_AFTER_S.least;
    const inferenceMs = Math.max(...known);
    const atOnce = workers.reduce((sum, { slots }) => sum + slots / SLOTS_PER_RUN, 0);
    const sinceMs = started_at === null ? 0 : Date.now() - Date.parse(started_at);
    const waitMs =
      status === 'queued'
        ? inferenceMs * (1 + (queue.depth ?? 0) / Math.max(1, atOnce))
        : inferenceMs - sinceMs;
    return clampSeconds(waitMs);
  }

  /** What something that has not started waits for, in the queue of its model's predictions or another. */
  async queueOf(model: ModelRef, queue = inferenceQueue(model)): Promise<QueueView> {
    const [workers, inference, orchestration] = await Promise.all([
      this.workersOf(model),
      this.#queueState(queue, 'activities'),
      this.#queueState(ORCHESTRATION_QUEUE, 'workflows'),
    ]);
    const isAnybodyThere = workers.length > 0 && orchestration.isPolled;
    const reason = isAnybodyThere ? reasonOf(workers, inference.isPolled) : 'no_worker';
    return { depth: inference.backlog, reason };
  }

  async #queueState(queue: string, kind: 'activities' | 'workflows'): Promise<QueueState> {
    let read = this.#queueStates.get(queue);
    if (read === undefined) {
      read = remember(async () => await this.#engine.queueState(queue, kind), FRESH_MS);
      this.#queueStates.set(queue, read);
    }
    return await read();
  }
}

const clampSeconds = (ms: number): number =>
  Math.min(RETRY_AFTER_S.most, Math.max(RETRY_AFTER_S.least, Math.ceil(ms / 1000)));

function reasonOf(workers: readonly ServingWorker[], isPolled: boolean): QueueReason {
  // No worker polls the queue of a version that it could not load: the tasks wait for one that has.
  if (workers.every(({ state }) => state === 'unavailable')) return 'model_unavailable';
  if (!isPolled) return 'no_worker';
  if (workers.some(({ state }) => state === 'ready')) return 'capacity';
  return 'model_loading';
}
