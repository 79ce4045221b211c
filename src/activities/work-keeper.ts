/*
 * Keeps what an attempt has done, for clients and for the next attempt: in the heartbeat while it is small, in the
 * store what does not fit there.
 *
 *  K1  What is told is whole: head and tail together are all of the work up to some part.
 *  K2  The tail never has more bytes than may lie in the engine.
 *  K3  The store is written at most once a second, and when the attempt ends without a result.
 *  K4  Each head is told, and the one before it stays: Temporal may know no later one.
 *  K5  What earlier attempts have told is told until there is other work: it may only be out of reach for a while.
 */
import { type Claim, JSON_MEDIA_TYPE, jsonBytes } from '../contract/payload.ts';
import {
  joined,
  MAX_FAILURE_TAIL_BYTES,
  type Part,
  textOf,
  type WorkSoFar,
} from '../contract/work.ts';
import { isPayloadLost, type PayloadStore } from '../storage/payload-store.ts';
import { readWork } from '../storage/work.ts';

const STORE_EVERY_MS = 1000;
/** So many of an attempt's heads stay in the store. */
const KEPT_HEADS = 2;

export interface WorkKeeperOptions {
  readonly store: PayloadStore;
  /** The most bytes of a tail. */
  readonly engineInlineLimit: number;
  readonly attempt: number;
  /** See `WorkSoFar`. */
  readonly key: string;
  /** The key of the `count`th head of this attempt in the store. */
  readonly headKey: (count: number) => string;
  /** Called when there is more to tell. */
  readonly onChange: () => void;
}

export class WorkKeeper {
  readonly #options: WorkKeeperOptions;
  readonly #since: number;
  #told: WorkSoFar | null;
  /** Everything that is done, as one part. */
  #all: Part | null;
  #head: Claim | null;
  #offset: number;
  /** What has come since the head was begun to be stored. */
  #tail: Part | null;
  #hasAdded = false;
  #heads = 0;
  #storedAtMs = 0;
  #storing: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** Goes on with `earlier`, which is `all`; with nothing when that is null. */
  private constructor(options: WorkKeeperOptions, earlier: WorkSoFar | null, all: Part | null) {
    const begun = all === null ? null : earlier;
    this.#options = options;
    this.#told = earlier; // K5
    this.#since = begun?.since ?? options.attempt;
    this.#all = all;
    this.#head = begun?.head ?? null;
    this.#offset = begun?.offset ?? 0;
    this.#tail = begun?.tail ?? null;
  }

  /** Goes on with the work of an earlier attempt, unless that is other work, or lost. */
  static async open(options: WorkKeeperOptions, earlier: WorkSoFar | null): Promise<WorkKeeper> {
    const isOther = earlier !== null && earlier.key !== options.key;
    if (earlier === null || isOther) return new WorkKeeper(options, earlier, null);
    try {
      return new WorkKeeper(options, earlier, await readWork(earlier, options.store));
    } catch (error) {
      if (!isPayloadLost(error)) throw error;
      return new WorkKeeper(options, earlier, null);
    }
  }

  /** What is done, as one part; null: nothing. */
  get all(): Part | null {
    return this.#all;
  }

  /** What heartbeats and failures tell; null: nothing is done. */
  get told(): WorkSoFar | null {
    return this.#told;
  }

  /** Whether this attempt has added a part. */
  get hasAdded(): boolean {
    return this.#hasAdded;
  }

  /** The attempt that began with nothing. */
  get since(): number {
    return this.#since;
  }

  /** Adds a part that is done. */
  add(part: Part): void {
    this.#hasAdded = true;
    this.#all = joined(this.#all, part);
    this.#tail = joined(this.#tail, part);
    if (this.#storing === null && this.#fits()) this.#tell(this.#tail);
    else this.#storeSoon();
  }

  /** The attempt has failed or was stopped: whatever is done is told, with a tail that a failure may hold. */
  async settle(): Promise<void> {
    await this.close();
    const isLarge = bytesOf(this.#tail) > MAX_FAILURE_TAIL_BYTES;
    if (this.#hasAdded && (isLarge || !this.#fits())) await this.#storeAll();
    else if (this.#hasAdded) this.#tell(this.#tail);
  }

  /** Nothing is stored or told any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#storing;
  }

  #fits(): boolean {
    return bytesOf(this.#tail) <= this.#options.engineInlineLimit; // K2
  }

  /** Tells the head, with this tail or without one: it is all of the work up to some part either way. */
  #tell(tail: Part | null): void {
    const { attempt, key, onChange } = this.#options;
    const [head, offset] = [this.#head, this.#offset];
    this.#told = { attempt, since: this.#since, key, head, offset, tail }; // K1
    onChange();
  }

  #storeSoon(): void {
    if (this.#storing !== null || this.#timer !== undefined || this.#isClosed) return;
    const waitMs = Math.max(0, this.#storedAtMs + STORE_EVERY_MS - Date.now()); // K3
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#store();
    }, waitMs);
  }

  async #store(): Promise<void> {
    this.#storing = this.#storeAll().finally(() => {
      this.#storing = null;
    });
    await this.#storing;
    if (!this.#fits()) this.#storeSoon();
  }

  /** When the store fails, the work goes on, and storing is tried again. */
  async #storeAll(): Promise<void> {
    const { store, headKey } = this.#options;
    const [all, tail] = [this.#all, this.#tail];
    this.#storedAtMs = Date.now();
    this.#tail = null;
    this.#heads += 1;
    try {
      const bytes = Buffer.from(JSON.stringify(all));
      this.#head = await store.put(headKey(this.#heads), bytes, { mediaType: JSON_MEDIA_TYPE });
      this.#offset = textOf(all).length;
    } catch {
      const since: Part | null = this.#tail;
      this.#tail = since === null || tail === null ? (since ?? tail) : joined(tail, since);
      return;
    }
    this.#tell(this.#fits() ? this.#tail : null); // K4
    const old = this.#heads - KEPT_HEADS;
    if (old > 0) await store.delete(headKey(old)).catch(() => {}); // it goes with its prediction
  }
}

const bytesOf = (tail: Part | null): number => (tail === null ? 0 : jsonBytes(tail));
