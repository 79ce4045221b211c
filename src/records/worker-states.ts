/*
 * What the inference workers say of themselves in the payload store. Anybody may have written there: a
 * file that is no such state is said once and removed, for a worker that lives writes its own anew.
 */
import { z } from 'zod';
import { messageOf } from '../contract/failure.ts';
import { plainMessage } from '../contract/issue-message.ts';
import { formatModelRef, modelRefOf } from '../contract/model.ts';
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

/** At most this many files are read; nobody has more workers. */
const MAX_STATES = 500;
/** No worker serves more versions (`models/repository.ts`). Checking so many takes 20 ms. */
const MAX_MODELS = 500;
/** All states together; the rest is not read. */
const MAX_BYTES = 16 * 1024 ** 2;
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
    .max(MAX_MODELS),
}) satisfies z.ZodType<WorkerState>;

/** In one line: a stranger may have written anything. */
function reasonOf(error: unknown): string {
  const [issue] = error instanceof z.ZodError ? error.issues : [];
  const reason =
    issue === undefined ? messageOf(error) : `${issue.path.join('.')} ${plainMessage(issue)}`;
  return reason.replaceAll(/\s+/g, ' ').slice(0, 200);
}

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

  /** What the living workers serve, by model version (`ocr@1`). */
  async read(): Promise<ReadonlyMap<string, readonly ServingWorker[]>> {
    const keys = await this.#keysToRead();
    this.#said = new Set(keys.filter((key) => this.#said.has(key)));
    const serving = new Map<string, ServingWorker[]>();
    let bytes = 0;
    for (const key of keys) {
      const { state, size } = await this.#readOne(key); // one after the other: others have their turns between
      this.#living.delete(key);
      bytes += size;
      if (bytes > MAX_BYTES) break;
      if (state === null) continue;
      const ageMs = Math.abs(Date.now() - Date.parse(state.updated_at)); // a time to come is no better
      if (ageMs > WORKER_STATE_STALE_MS + FORGOTTEN_AFTER_MS) await this.#remove(key);
      if (ageMs > WORKER_STATE_STALE_MS) continue;
      this.#living.add(key);
      for (const model of state.models) {
        const label = formatModelRef(modelRefOf(model));
        const others = serving.get(label) ?? [];
        serving.set(label, others);
        others.push({ ...model, worker: state.worker });
      }
    }
    return serving;
  }

  /** The state is null when it is gone, cannot be read, or is no state of a worker. */
  async #readOne(key: string): Promise<{ state: WorkerState | null; size: number }> {
    try {
      const file = await readSmall(this.#store, key);
      return { state: stateSchema.parse(JSON.parse(file.toString('utf8'))), size: file.length };
    } catch (error) {
      const nothing = { state: null, size: 0 };
      if (error instanceof PayloadNotFoundError) return nothing; // a worker removes its file when it stops
      const isUnreadable = error instanceof StorageError;
      if (!this.#said.has(key)) {
        const what = isUnreadable
          ? 'a worker state cannot be read'
          : 'removing what is no worker state';
        this.#logger.warn({ key, reason: reasonOf(error) }, what);
        this.#said.add(key);
      }
      if (!isUnreadable) await this.#remove(key);
      return nothing;
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
