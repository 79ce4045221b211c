/*
 * A payload store whose payloads are encrypted before they reach the store behind it. Claims tell the size and the hash
 * of the bytes before encryption, and entries the size after it. What was stored before there were keys is read as it is.
 */
import { Readable } from 'node:stream';
import type { Claim } from '../contract/payload.ts';
import { BodyCounter } from './body-counter.ts';
import { readSmall } from './claims.ts';
import { cutInto } from './cut-into.ts';
import { ForwardingPayloadStore } from './forwarding-payload-store.ts';
import {
  PayloadCorruptError,
  type PayloadStore,
  type Piece,
  type PutOptions,
  StorageError,
} from './payload-store.ts';
import {
  type EncryptionKey,
  encryptionKey,
  HEAD_BYTES,
  isHead,
  keyIdIn,
  SEALED_BYTES,
  SEGMENT_BYTES,
  Segments,
} from './sealed-segments.ts';

export class EncryptingPayloadStore extends ForwardingPayloadStore {
  readonly #current: EncryptionKey;
  readonly #keys: readonly EncryptionKey[];

  /** The first of the keys, of 32 bytes each, encrypts; all decrypt. */
  constructor(store: PayloadStore, secrets: readonly [Buffer, ...Buffer[]]) {
    super(store);
    this.#current = encryptionKey(secrets[0]);
    this.#keys = secrets.map(encryptionKey);
  }

  override async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options: PutOptions,
  ): Promise<Claim> {
    const counter = new BodyCounter(options.maxBytes);
    const sealed = this.#sealed(key, body instanceof Uint8Array ? [body] : body, counter);
    await this.store.put(key, sealed, { mediaType: options.mediaType });
    return { key, ...counter.facts(), media_type: options.mediaType };
  }

  override async create(key: string, body: Uint8Array, options: PutOptions): Promise<boolean> {
    const parts: Buffer[] = [];
    for await (const part of this.#sealed(key, [body], new BodyCounter())) parts.push(part);
    return await this.store.create(key, Buffer.concat(parts), options);
  }

  override async open(key: string, piece?: Piece): Promise<Readable> {
    const head = await readSmall(this.store, key, { offset: 0, bytes: HEAD_BYTES });
    if (!isHead(head)) return await this.store.open(key, piece);
    const segments = Segments.of(head, this.#keyFor(head, key), key);
    return Readable.from(this.#opened(key, segments, piece), { objectMode: false });
  }

  /** What the files hold is encrypted. */
  override pathOf(): null {
    return null;
  }

  /** A client cannot read what is encrypted, and would write what is not. */
  override async presign(): Promise<null> {
    return await Promise.resolve(null);
  }

  async *#sealed(
    key: string,
    body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    counter: BodyCounter,
  ): AsyncGenerator<Buffer> {
    const segments = Segments.begin(this.#current, key);
    yield segments.head;
    let number = 0;
    for await (const { bytes, isLast } of cutInto(SEGMENT_BYTES, body)) {
      counter.add(bytes);
      yield segments.seal(bytes, number, isLast);
      number += 1;
    }
  }

  async *#opened(
    key: string,
    segments: Segments,
    { offset, bytes }: Piece = { offset: 0, bytes: Number.MAX_SAFE_INTEGER },
  ): AsyncGenerator<Buffer> {
    const first = Math.floor(offset / SEGMENT_BYTES);
    const count = Math.ceil((offset + bytes) / SEGMENT_BYTES) - first;
    const body = (await this.store.open(key, {
      offset: HEAD_BYTES + first * SEALED_BYTES,
      bytes: Math.min(
        count * SEALED_BYTES,
        Number.MAX_SAFE_INTEGER - HEAD_BYTES - first * SEALED_BYTES,
      ),
    })) as AsyncIterable<Uint8Array>;
    let number = first;
    let at = offset - first * SEGMENT_BYTES;
    let left = bytes;
    for await (const { bytes: sealed, isLast } of cutInto(SEALED_BYTES, body)) {
      // Behind an empty range, or behind the end, there is nothing to open.
      if (sealed.length === 0 && first > 0) return;
      const isEndOfPiece = isLast && number === first + count - 1;
      // The last segment of a piece need not be that of the payload.
      const opened =
        segments.open(sealed, number, isLast) ??
        (isEndOfPiece ? segments.open(sealed, number, false) : null);
      if (opened === null) throw new PayloadCorruptError(key, `its segment ${number} was changed`);
      const wanted = opened.subarray(at, at + left);
      if (wanted.length > 0) yield wanted;
      left -= wanted.length;
      at = 0;
      number += 1;
    }
  }

  #keyFor(head: Buffer, key: string): EncryptionKey {
    const id = keyIdIn(head);
    const found = this.#keys.find((each) => each.id.equals(id));
    if (found !== undefined) return found;
    const detail = `${key} was encrypted with key ${id.toString('hex')}, which BUZZER_ENCRYPTION_KEYS does not have`;
    throw new StorageError(detail, { isFull: false, needsPerson: true });
  }
}
