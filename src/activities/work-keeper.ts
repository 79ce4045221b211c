/*
 * Keeps what an attempt has done, for clients and for the next attempt: in the heartbeat while it is small, in the
 * store what does not fit there.
 *
 *  K1  What is told is whole: head and tail together are all of the work up to some part.
 *  K2  The tail never has more bytes than may lie in the engine.
 *  K3  The store is written at most four times a second, and when the attempt ends without a result.
 *  K4  What is stored is told, and what was told before it stays for a minute: Temporal may know no later one, and
 *      somebody may be reading it.
 *  K5  Of two parts that follow each other in the store, the first is more than twice as large: a new one is joined with
 *      those before it that are not. So their number grows with the logarithm of the work, and each byte of it is
 *      written as often.
 *  K6  What earlier attempts have told is told until there is other work: it may only be out of reach for a while.
 */
import { type Claim, JSON_MEDIA_TYPE, jsonBytes } from '../contract/payload.ts';
import {
  joined,
  MAX_FAILURE_TAIL_BYTES,
  pagesOf,
  type Part,
  previewOf,
  type PreviewPlace,
  storedParts,
  textOf,
  type WorkSoFar,
} from '../contract/work.ts';
import { isPayloadLost, type PayloadStore } from '../storage/payload-store.ts';
import { readParts } from '../storage/work.ts';

const STORE_EVERY_MS = 250;
/** K5 */
const SHRINKING = 2;
/** A failure holds few bytes. */
const MAX_SETTLED_PARTS = 2;
const KEEP_REPLACED_MS = 60_000;

export interface WorkKeeperOptions {
  readonly store: PayloadStore;
  /** The most bytes of a tail. */
  readonly engineInlineLimit: number;
  readonly attempt: number;
  /** See `WorkSoFar`. */
  readonly key: string;
  /** The key of the `count`th part that this attempt puts into the store. */
  readonly partKey: (count: number) => string;
  /** How long what is replaced stays; a minute unless it is given. */
  readonly keepReplacedMs?: number;
  /** Called when there is more to tell. */
  readonly onChange: () => void;
}

/** A part in the store, and its JSON, which takes less memory than what it says. */
interface StoredPart {
  readonly claim: Claim;
  readonly json: Buffer;
  readonly textLength: number;
  readonly preview: PreviewPlace | null;
}

/** What is remembered of a part in the store. */
const storedPart = (claim: Claim, json: Buffer, part: Part): StoredPart => ({
  claim,
  json,
  textLength: textOf(part).length,
  preview: placeIn(part),
});

function placeIn(part: Part | null): PreviewPlace | null {
  const preview = previewOf(part);
  return preview === null ? null : { image: preview.image, step: preview.step };
}

const partIn = ({ json }: StoredPart): Part => JSON.parse(json.toString('utf8')) as Part;

export class WorkKeeper {
  readonly #options: WorkKeeperOptions;
  readonly #since: number;
  #told: WorkSoFar | null;
  #stored: readonly StoredPart[];
  /** What has come since the store was begun to be written. */
  #tail: Part | null;
  /** The tail is known to be too large to be told; it is measured anew when it was stored. */
  #isTailLarge = false;
  #pages: number | null = null;
  #hasAdded = false;
  #puts = 0;
  /** Keys of what this attempt has stored. What attempts before it have stored goes with the prediction. */
  readonly #own = new Set<string>();
  /** Those of them that a larger part has replaced (K4). */
  #replaced: { readonly key: string; readonly atMs: number }[] = [];
  #storedAtMs = 0;
  #storing: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** Goes on with `earlier`, whose parts in the store are `stored`; with nothing when that is null. */
  private constructor(
    options: WorkKeeperOptions,
    earlier: WorkSoFar | null,
    stored: readonly StoredPart[] | null,
  ) {
    const begun = stored === null ? null : earlier;
    this.#options = options;
    this.#told = earlier; // K6
    this.#since = begun?.since ?? options.attempt;
    this.#stored = stored ?? [];
    this.#tail = begun?.tail ?? null;
    this.#pages = begun?.pages ?? null;
  }

  /** Goes on with the work of an earlier attempt, unless that is other work, or lost. */
  static async open(options: WorkKeeperOptions, earlier: WorkSoFar | null): Promise<WorkKeeper> {
    const isOther = earlier !== null && earlier.key !== options.key;
    if (earlier === null || isOther) return new WorkKeeper(options, earlier, null);
    try {
      const claims = storedParts(earlier);
      const stored: StoredPart[] = [];
      for await (const part of readParts({ ...earlier, tail: null }, options.store)) {
        const claim = claims[stored.length];
        if (claim === undefined) break;
        const json = Buffer.from(JSON.stringify(part));
        stored.push(storedPart(claim, json, part));
      }
      return new WorkKeeper(options, earlier, stored);
    } catch (error) {
      if (!isPayloadLost(error)) throw error;
      return new WorkKeeper(options, earlier, null);
    }
  }

  /** What is done, as one part; null: nothing. */
  get all(): Part | null {
    const parts = [...this.#stored.map(partIn), ...(this.#tail === null ? [] : [this.#tail])];
    return parts.reduce<Part | null>(joined, null);
  }

  /** Whether nothing is done. */
  get isEmpty(): boolean {
    return this.#stored.length === 0 && this.#tail === null;
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
    this.#tail = joined(this.#tail, part);
    this.#countPages(part);
    if (this.#storing === null && this.#fits()) this.#tell(this.#tail);
    else this.#storeSoon();
  }

  /** The attempt has failed or was stopped: whatever is done is told, with no more than a failure may hold. */
  async settle(): Promise<void> {
    await this.close();
    if (!this.#hasAdded) return;
    const isLarge = !this.#fits() || bytesOf(this.#tail) > MAX_FAILURE_TAIL_BYTES;
    if (isLarge || this.#stored.length > MAX_SETTLED_PARTS) await this.#storeTail(true);
    else this.#tell(this.#tail);
  }

  /** Nothing is stored or told any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#storing;
  }

  #countPages(part: Part | null): void {
    const pages = pagesOf(part);
    if (pages !== null) this.#pages = (this.#pages ?? 0) + pages.length;
  }

  #fits(): boolean {
    this.#isTailLarge ||= bytesOf(this.#tail) > this.#options.engineInlineLimit; // K2
    return !this.#isTailLarge;
  }

  /** Tells what is stored, with this tail or without one: it is all of the work up to some part either way. */
  #tell(tail: Part | null): void {
    const { attempt, key, onChange } = this.#options;
    const [head = null, ...more] = this.#stored.map(({ claim }) => claim);
    const untold = tail === null ? (pagesOf(this.#tail)?.length ?? 0) : 0;
    const stored = this.#stored.findLast((each) => each.preview !== null)?.preview ?? null;
    const preview = placeIn(tail) ?? stored;
    this.#told = {
      attempt,
      since: this.#since,
      key,
      head,
      ...(more.length === 0 ? {} : { more }),
      offset: this.#stored.reduce((sum, { textLength }) => sum + textLength, 0),
      tail,
      ...(this.#pages === null ? {} : { pages: this.#pages - untold }),
      ...(preview === null ? {} : { preview }),
    }; // K1
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
    this.#storing = this.#storeTail(false).finally(() => {
      this.#storing = null;
    });
    await this.#storing;
    if (!this.#fits()) this.#storeSoon();
  }

  /**
   * Stores the tail as one part with those before it that are not much larger (K5); when it is `last`, with all but the
   * first. When the store fails, the work goes on, and storing is tried again.
   */
  async #storeTail(isLast: boolean): Promise<void> {
    const { store, partKey } = this.#options;
    const [stored, tail] = [[...this.#stored], this.#tail];
    this.#storedAtMs = Date.now();
    this.#tail = null;
    this.#isTailLarge = false;
    let part: Part = tail ?? {};
    let bytes = bytesOf(part);
    for (let last = stored.at(-1); last !== undefined; last = stored.at(-1)) {
      const isMuchLarger = last.claim.bytes > SHRINKING * bytes;
      if (isMuchLarger && (!isLast || stored.length < MAX_SETTLED_PARTS)) break;
      part = joined(partIn(last), part);
      bytes += last.claim.bytes;
      stored.pop();
    }
    this.#puts += 1;
    const json = Buffer.from(JSON.stringify(part));
    const claim = await store
      .put(partKey(this.#puts), json, { mediaType: JSON_MEDIA_TYPE })
      .catch(() => null);
    if (claim !== null) {
      this.#own.add(claim.key);
      await this.#replace([...stored, storedPart(claim, json, part)]);
      return;
    }
    const since: Part | null = this.#tail;
    this.#tail = since === null || tail === null ? (since ?? tail) : joined(tail, since);
    this.#isTailLarge = false;
  }

  /** K4 */
  async #replace(stored: readonly StoredPart[]): Promise<void> {
    const { store, keepReplacedMs = KEEP_REPLACED_MS } = this.#options;
    const nowMs = Date.now();
    const gone = this.#replaced.filter(({ atMs }) => nowMs - atMs >= keepReplacedMs);
    const replaced = this.#stored.filter((each) => !stored.includes(each));
    const keys = replaced.map(({ claim }) => claim.key).filter((key) => this.#own.has(key));
    this.#replaced = this.#replaced
      .filter((each) => !gone.includes(each))
      .concat(keys.map((key) => ({ key, atMs: nowMs })));
    this.#stored = stored;
    this.#tell(this.#fits() ? this.#tail : null);
    for (const { key } of gone) await store.delete(key).catch(() => {}); // it goes with its prediction
  }
}

const bytesOf = (tail: Part | null): number => (tail === null ? 0 : jsonBytes(tail));
