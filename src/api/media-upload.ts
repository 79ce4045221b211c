/* Media on its way into the payload store: looked at while it arrives, counted and hashed. */
import { Readable, Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Claim } from '../contract/payload.ts';
import { InvalidMediaError, type MediaField, type MediaLimits } from '../pipelines/index.ts';
import { type PayloadStore, PayloadTooLargeError } from '../storage/payload-store.ts';

const MAX_HEAD_BYTES = 512 * 1024; // a header behind more metadata than this is left to the decoder

export interface MediaUpload {
  readonly key: string;
  readonly body: Readable;
  readonly field: MediaField;
  readonly limits: MediaLimits & { readonly maxBytes: number };
}

/**
 * Stores media under `key`. Throws `InvalidMediaError` or `PayloadTooLargeError` as soon as that is
 * known, and leaves nothing behind.
 */
export async function storeMedia(store: PayloadStore, upload: MediaUpload): Promise<Claim> {
  const inspector = new MediaInspector(upload.field, upload.limits);
  const arriving = pipeline(upload.body, inspector);
  const [claim] = await Promise.all([
    store.put(upload.key, inspector, {
      mediaType: upload.field.accept[0] ?? 'application/octet-stream',
      maxBytes: upload.limits.maxBytes,
    }),
    arriving,
  ]).catch((error: unknown) => {
    inspector.destroy();
    throw error;
  });
  if (claim.bytes === 0) {
    await store.delete(upload.key);
    throw new InvalidMediaError('the media is empty');
  }
  return { ...claim, media_type: inspector.mediaType ?? claim.media_type };
}

/** Media as a data URL (RFC 2397) in base64; throws `InvalidMediaError`. */
export function decodeDataUrl(text: string, maxBytes: number): { type: string; bytes: Buffer } {
  const comma = text.indexOf(',');
  const [, type = '', encoding] =
    /^data:([^;,]*)(?:;[^;,]+)*?(;base64)?$/.exec(text.slice(0, Math.max(0, comma))) ?? [];
  if (comma === -1 || !text.startsWith('data:')) {
    throw new InvalidMediaError('must be a data URL: data:<media type>;base64,<data>');
  }
  if (encoding === undefined) throw new InvalidMediaError('the data URL must be in base64');
  const data = text.slice(comma + 1);
  if (data.length * 0.75 - 2 > maxBytes) throw new PayloadTooLargeError(maxBytes);
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(data))
    throw new InvalidMediaError('the base64 is malformed');
  return { type, bytes: Buffer.from(data, 'base64') };
}

/** Passes bytes on once it knows from the first of them that they may be accepted. */
class MediaInspector extends Transform {
  mediaType: string | null = null;
  readonly #field: MediaField;
  readonly #limits: MediaLimits;
  #head: Buffer | null = Buffer.alloc(0);

  constructor(field: MediaField, limits: MediaLimits) {
    super();
    this.#field = field;
    this.#limits = limits;
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    if (this.#head === null) {
      done(null, chunk);
      return;
    }
    try {
      const head = Buffer.concat([this.#head, chunk]);
      this.mediaType = this.#field.inspect(head, this.#limits);
      const isDecided = this.mediaType !== null || head.length >= MAX_HEAD_BYTES;
      this.#head = isDecided ? null : head;
      done(null, isDecided ? head : undefined);
    } catch (error) {
      done(error as Error);
    }
  }

  override _flush(done: TransformCallback): void {
    if (this.#head === null || this.#head.length === 0) {
      done();
      return;
    }
    done(new InvalidMediaError('the media ends before its header does'));
  }
}

/** Bytes in memory as the stream that `storeMedia` takes. */
export const streamOf = (bytes: Buffer): Readable => Readable.from([bytes], { objectMode: false });
