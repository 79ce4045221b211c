/*
 * What the inference workers say of themselves in the payload store. Anybody may have written there: a
 * file that is no such state is said once and removed, for a worker that lives writes its own anew.
 */
import { z } from 'zod';
import { payloadKeys } from '../contract/payload.ts';
import {
  type ServedModelState,
  WORKER_STATE_STALE_MS,
  type WorkerState,
} from '../contract/worker-state.ts';
import { readText } from '../storage/claims.ts';
import { PayloadNotFoundError, type PayloadStore, StorageError } from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';

/** One model version on one worker. */
export interface ServingWorker extends ServedModelState {
  readonly worker: string;
}

/** More than anybody has workers; each is a file that is opened. */
const MAX_STATES = 500;

const count = z.number().min(0);

/** A later version may say more. */
const stateSchema = z.object({
  worker: z.string().max(500),
  updated_at: z.iso.datetime(),
  models: z
    .array(
      z.object({
        model: z.string().max(100),
        version: z.int().min(1),
        state: z.enum(['idle', 'loading', 'ready', 'unavailable']),
        reason: z.string().nullable(),
        device: z.string(),
        replicas: count,
        slots: count,
        running: count,
        waiting: count,
        rss_bytes: count.nullable(),
        inference_ms: count.nullable(),
      }),
    )
    .max(10_000),
}) satisfies z.ZodType<WorkerState>;

/** The states of the workers that live, one entry for each model version. */
export async function readWorkerStates(
  store: PayloadStore,
  logger: Logger,
): Promise<readonly ServingWorker[]> {
  const oldestMs = Date.now() - WORKER_STATE_STALE_MS;
  const keys = (await store.list(payloadKeys.workers)).slice(0, MAX_STATES);
  const states = keys.map(async (key) => {
    const state = await readState(store, key, logger);
    if (state === null || Date.parse(state.updated_at) < oldestMs) return [];
    return state.models.map((model) => ({ ...model, worker: state.worker }));
  });
  return (await Promise.all(states)).flat();
}

/** Null: it is gone, or is no state of a worker. */
async function readState(
  store: PayloadStore,
  key: string,
  logger: Logger,
): Promise<WorkerState | null> {
  try {
    return stateSchema.parse(JSON.parse(await readText(store, key)));
  } catch (error) {
    if (error instanceof PayloadNotFoundError) return null; // a worker that leaves takes it along
    if (error instanceof StorageError) throw error;
    logger.warn({ key, reason: String(error).slice(0, 500) }, 'removing what is no worker state');
    await store.delete(key).catch(() => {});
    return null;
  }
}
