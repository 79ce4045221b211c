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
import { readSmall } from '../storage/claims.ts';
import { PayloadNotFoundError, type PayloadStore, StorageError } from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';

/** One model version on one worker. */
export interface ServingWorker extends ServedModelState {
  readonly worker: string;
}

/** At most this many files are read at once; nobody has more workers. */
const MAX_STATES = 500;
/** A worker that was lost with its host leaves its state behind. */
const FORGOTTEN_AFTER_MS = 3_600_000;

const count = z.number().min(0);

/** A worker of a later version may write further members. */
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

export class WorkerStates {
  readonly #store: PayloadStore;
  readonly #logger: Logger;
  /** The keys of whose problem the log has told already. */
  #said = new Set<string>();
  /** The keys of those that lived when they were last read. */
  readonly #living = new Set<string>();

  constructor(store: PayloadStore, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
  }

  /** The states of the workers that live, one entry for each model version. */
  async read(): Promise<readonly ServingWorker[]> {
    const oldestMs = Date.now() - WORKER_STATE_STALE_MS;
    const keys = await this.#keysToRead();
    this.#said = new Set(keys.filter((key) => this.#said.has(key)));
    const states = keys.map(async (key) => {
      const state = await this.#readOne(key);
      this.#living.delete(key);
      if (state === null) return [];
      const updatedAtMs = Date.parse(state.updated_at);
      if (updatedAtMs < oldestMs - FORGOTTEN_AFTER_MS) await this.#remove(key);
      if (updatedAtMs < oldestMs) return [];
      this.#living.add(key);
      return state.models.map((model) => ({ ...model, worker: state.worker }));
    });
    return (await Promise.all(states)).flat();
  }

  /** Null: it is gone, cannot be read, or is no state of a worker. */
  async #readOne(key: string): Promise<WorkerState | null> {
    try {
      return stateSchema.parse(JSON.parse((await readSmall(this.#store, key)).toString('utf8')));
    } catch (error) {
      if (error instanceof PayloadNotFoundError) return null; // a worker removes its file when it stops
      const isUnreadable = error instanceof StorageError;
      if (!this.#said.has(key)) {
        const what = isUnreadable
          ? 'a worker state cannot be read'
          : 'removing what is no worker state';
        this.#logger.warn({ key, reason: String(error).slice(0, 500) }, what);
        this.#said.add(key);
      }
      if (!isUnreadable) await this.#remove(key);
      return null;
    }
  }

  /** Those of living workers, and others by chance: there may be more files than are read at once. */
  async #keysToRead(): Promise<readonly string[]> {
    const living: string[] = [];
    const others: string[] = [];
    let seen = 0;
    for await (const key of this.#store.list(payloadKeys.workers)) {
      if (this.#living.has(key)) {
        living.push(key);
        continue;
      }
      seen += 1; // each of them has the same chance to stay among so many (reservoir sampling)
      const at = others.length < MAX_STATES ? others.length : Math.floor(Math.random() * seen);
      if (at < MAX_STATES) others[at] = key;
    }
    return [...living, ...others].slice(0, MAX_STATES);
  }

  async #remove(key: string): Promise<void> {
    await this.#store.delete(key).catch(() => {});
  }
}
