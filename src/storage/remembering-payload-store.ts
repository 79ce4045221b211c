/*
 * A payload store that is far away, with what is read all the time remembered for a moment: worker states, tombstones and
 * the small objects of tenants. What this process writes it sees at once; what others write, a moment later.
 *
 * The payloads of predictions pass through. What is written with `create` is still decided by the store alone.
 */
import { Readable } from 'node:stream';
import { type Claim, payloadKeys } from '../contract/payload.ts';
import { SMALL_BYTES } from './claims.ts';
import { ForwardingPayloadStore } from './forwarding-payload-store.ts';
import {
  type KeyRange,
  PayloadNotFoundError,
  type PayloadStore,
  type Piece,
  type PutOptions,
} from './payload-store.ts';

/** Everything in these folders is small, and ours. */
const FOLDERS: readonly string[] = [
  payloadKeys.workers,
  payloadKeys.tombstones,
  payloadKeys.tenants,
];
/** More are not remembered. */
const MAX_OBJECTS = 20_000;
const MAX_LISTED = 5000;

interface Remembered<T> {
  readonly atMs: number;
  readonly value: Promise<T>;
}

export class RememberingPayloadStore extends ForwardingPayloadStore {
  readonly #freshMs: number;
  /** Null: there is none. */
  readonly #objects = new Map<string, Remembered<Buffer | null>>();
  readonly #lists = new Map<string, Remembered<readonly string[]>>();

  constructor(store: PayloadStore, freshMs: number) {
    super(store);
    this.#freshMs = freshMs;
  }

  override async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options: PutOptions,
  ): Promise<Claim> {
    return await this.#changing(key, async () => await this.store.put(key, body, options));
  }

  override async create(key: string, body: Uint8Array, options: PutOptions): Promise<boolean> {
    return await this.#changing(key, async () => await this.store.create(key, body, options));
  }

  override async delete(key: string): Promise<void> {
    await this.#changing(key, async () => await this.store.delete(key));
  }

  override async open(key: string, piece?: Piece): Promise<Readable> {
    if (!isControl(key) || piece !== undefined) return await this.store.open(key, piece);
    const bytes = await this.#remember(this.#objects, key, async () => await this.#read(key));
    if (bytes === null) throw new PayloadNotFoundError(key);
    // A larger one is none of ours: whoever reads it finds that out.
    return bytes.length > SMALL_BYTES ? await this.store.open(key) : Readable.from([bytes]);
  }

  override async *list(folder: string, range?: KeyRange): AsyncGenerator<string> {
    if (!isControl(folder) || range !== undefined) {
      yield* this.store.list(folder, range);
      return;
    }
    const keys = await this.#remember(this.#lists, folder, async () => {
      return await firstOf(this.store.list(folder), MAX_LISTED + 1);
    });
    if (keys.length <= MAX_LISTED) yield* keys;
    else yield* this.store.list(folder);
  }

  /** Looks which of these keys of one folder there are, all at once. */
  override async prefetch(keys: readonly string[]): Promise<void> {
    const wanted = keys.filter((key) => isControl(key) && !this.#isFresh(this.#objects.get(key)));
    const [first] = wanted;
    if (first === undefined || wanted.length === 1) return;
    const sorted = wanted.toSorted();
    const range = { from: sorted[0] ?? first, to: sorted.at(-1) ?? first };
    const folder = first.slice(0, first.lastIndexOf('/'));
    const atMs = Date.now();
    const found = await firstOf(this.store.list(folder, range), MAX_LISTED + 1);
    if (found.length > MAX_LISTED) return; // looking at each of them costs less
    const there = new Set(found);
    for (const key of wanted) {
      if (!there.has(key)) this.#keep(this.#objects, key, { atMs, value: Promise.resolve(null) });
    }
  }

  /** Null: there is none. At most one byte more than what is small. */
  async #read(key: string): Promise<Buffer | null> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    try {
      for await (const chunk of (await this.store.open(key)) as AsyncIterable<Uint8Array>) {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes > SMALL_BYTES) break;
      }
    } catch (error) {
      if (error instanceof PayloadNotFoundError) return null;
      throw error;
    }
    return Buffer.concat(chunks);
  }

  async #remember<T>(
    remembered: Map<string, Remembered<T>>,
    key: string,
    read: () => Promise<T>,
  ): Promise<T> {
    const known = remembered.get(key);
    if (known !== undefined && this.#isFresh(known)) return await known.value;
    const entry = { atMs: Date.now(), value: read() };
    this.#keep(remembered, key, entry);
    entry.value.catch(() => {
      if (remembered.get(key) === entry) remembered.delete(key); // failures are not remembered
    });
    return await entry.value;
  }

  #keep<T>(remembered: Map<string, Remembered<T>>, key: string, entry: Remembered<T>): void {
    remembered.delete(key);
    remembered.set(key, entry);
    // The oldest come first.
    for (const [each, old] of remembered) {
      if (this.#isFresh(old) && remembered.size <= MAX_OBJECTS) break;
      remembered.delete(each);
    }
  }

  #isFresh(entry: Remembered<unknown> | undefined): boolean {
    return entry !== undefined && Date.now() - entry.atMs < this.#freshMs;
  }

  /** What was read before the change has come to its end is not remembered. */
  async #changing<T>(key: string, change: () => Promise<T>): Promise<T> {
    try {
      return await change();
    } finally {
      if (isControl(key)) this.#forget(key);
    }
  }

  #forget(key: string): void {
    for (const each of this.#objects.keys()) {
      if (each === key || each.startsWith(`${key}/`)) this.#objects.delete(each);
    }
    for (const each of this.#lists.keys()) {
      const isAround = key.startsWith(`${each}/`) || each === key || each.startsWith(`${key}/`);
      if (isAround) this.#lists.delete(each);
    }
  }
}

const isControl = (key: string): boolean =>
  FOLDERS.some((folder) => key === folder || key.startsWith(`${folder}/`));

async function firstOf(keys: AsyncIterable<string>, most: number): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const key of keys) {
    found.push(key);
    if (found.length >= most) break;
  }
  return found;
}
