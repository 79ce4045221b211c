/* Why a queued prediction waits: who serves its model, and how much is ahead of it. */
import { inferenceQueue, ORCHESTRATION_QUEUE } from '../contract/task-queues.ts';
import { formatModelRef, type ModelRef, modelRefOf } from '../contract/model.ts';
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

export type Load = ReturnType<typeof createLoad>;

export function createLoad(dependencies: {
  readonly store: PayloadStore;
  readonly engine: Engine;
  readonly logger: Logger;
}) {
  const { store, engine, logger } = dependencies;
  const workerStates = new WorkerStates(store, logger);
  const readWorkers = remember(async () => await workerStates.read(), FRESH_MS);
  const queueStates = new Map<string, () => Promise<QueueState>>();
  const queueState = async (queue: string, kind: 'activities' | 'workflows') => {
    let read = queueStates.get(queue);
    if (read === undefined) {
      read = remember(async () => await engine.queueState(queue, kind), FRESH_MS);
      queueStates.set(queue, read);
    }
    return await read();
  };

  const workersOf = async (model: ModelRef): Promise<readonly ServingWorker[]> => {
    const label = formatModelRef(model);
    return (await readWorkers()).filter((state) => formatModelRef(modelRefOf(state)) === label);
  };

  return {
    /** The living workers that serve a model version. */
    workersOf,

    /**
     * When asking again may be worth it, in whole seconds: by how long its model takes, and how much
     * is ahead. A second where nobody can tell.
     */
    async retryAfterS(record: Prediction): Promise<number> {
      const { model, version, status, queue, started_at, start_after } = record;
      const delayMs = start_after === null ? 0 : Date.parse(start_after) - Date.now();
      if (delayMs > 0) return clampSeconds(delayMs);
      const workers = await workersOf({ name: model, version }).catch(() => []);
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
    },

    /** What a prediction that has not started waits for. */
    async queueOf(model: ModelRef): Promise<QueueView> {
      const [workers, inference, orchestration] = await Promise.all([
        workersOf(model),
        queueState(inferenceQueue(model), 'activities'),
        queueState(ORCHESTRATION_QUEUE, 'workflows'),
      ]);
      const isAnybodyThere = workers.length > 0 && orchestration.isPolled;
      const reason = isAnybodyThere ? reasonOf(workers, inference.isPolled) : 'no_worker';
      return { depth: inference.backlog, reason };
    },
  };
}

const clampSeconds = (ms: number): number =>
  Math.min(RETRY_AFTER_S.most, Math.max(RETRY_AFTER_S.least, Math.ceil(ms / 1000)));

function reasonOf(workers: readonly ServingWorker[], isPolled: boolean): QueueReason {
  // Such a version is not polled: its tasks wait for a worker that has loaded it.
  if (workers.every(({ state }) => state === 'unavailable')) return 'model_unavailable';
  if (!isPolled) return 'no_worker';
  if (workers.some(({ state }) => state === 'ready')) return 'capacity';
  return 'model_loading';
}
