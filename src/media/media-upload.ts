/* Media on its way into the payload store: looked at while it arrives, counted and hashed. */
import type { Claim } from '../contract/payload.ts';
import {
  InvalidMediaError,
  MEDIA_KINDS,
  type MediaField,
  type MediaLimits,
} from '../pipelines/index.ts';

import { type PayloadStore, PayloadTooLargeError } from '../storage/payload-store.ts';

export { InvalidMediaError };

const MAX_HEAD_BYTES = 512 * 1024; // a header behind more metadata than this is left to the decoder

export interface MediaUpload {
  readonly key: string;
  readonly body: AsyncIterable<Uint8Array>;
  readonly field: MediaField;
  readonly limits: MediaLimits & { readonly maxBytes: number };
}

/**
 * Stores media under `key`. Throws `InvalidMediaError` or `PayloadTooLargeError` as soon as that is
 * known, and leaves nothing behind.
 */
export async function storeMedia(store: PayloadStore, upload: MediaUpload): Promise<Claim> {
  const found = { mediaType: upload.field.accept[0] ?? 'application/octet-stream' };
  const claim = await store.put(upload.key, inspected(upload, found), {
    mediaType: found.mediaType,
    maxBytes: upload.limits.maxBytes,
  });
  return { ...claim, media_type: found.mediaType };
}

/** Holds back the first bytes until they show the media type and that the media is acceptable; then passes all on. */
async function* inspected(
  { body, field, limits }: MediaUpload,
  found: { mediaType: string },
): AsyncGenerator<Uint8Array> {
  let head: Uint8Array[] | null = [];
  let bytes = 0;
  let inspectAt = 0;
  for await (const chunk of body) {
    if (head === null) {
      yield chunk;
      continue;
    }
    head.push(chunk);
    bytes += chunk.length;
    if (bytes < inspectAt) continue;
    inspectAt = 2 * bytes; // each look starts at the first byte, so doubling keeps the total cost low
    const mediaType = field.inspect(Buffer.concat(head), limits);
    if (mediaType === null && bytes < MAX_HEAD_BYTES) continue;
    found.mediaType = mediaType ?? found.mediaType;
    yield* head;
    head = null;
  }
  if (head === null) return;
  found.mediaType = inspectWhole(Buffer.concat(head), field, limits); // it may have grown since the last look
  yield* head;
}

/** The media type of media that is there as a whole. Throws `InvalidMediaError`. */
export function inspectWhole(bytes: Uint8Array, field: MediaField, limits: MediaLimits): string {
  if (bytes.length === 0) throw new InvalidMediaError('the media is empty');
  const mediaType = field.inspect(bytes, limits);
  if (mediaType === null) throw new InvalidMediaError('the media ends before its header does');
  return mediaType;
}

/** The media type of media that lies in the store, by its first bytes. Throws `InvalidMediaError`. */
export async function inspectHead(
  store: PayloadStore,
  { key, bytes }: Claim,
  field: MediaField,
  limits: MediaLimits,
): Promise<string> {
  if (bytes === 0) throw new InvalidMediaError('the media is empty');
  const stream = await store.open(key, { offset: 0, bytes: Math.min(bytes, MAX_HEAD_BYTES) });
  const head = Buffer.concat((await stream.toArray()) as Uint8Array[]);
  if (bytes <= head.length) return inspectWhole(head, field, limits);
  return field.inspect(head, limits) ?? field.accept[0] ?? 'application/octet-stream';
}

/** Media as a data URL (RFC 2397) in base64; throws `InvalidMediaError`. */
export function decodeDataUrl(text: string, maxBytes: number): Buffer {
  const comma = text.indexOf(',');
  const [, encoding] =
    /^data:[^;,]*(?:;[^;,]+)*?(;base64)?$/i.exec(text.slice(0, Math.max(0, comma))) ?? [];
  if (comma === -1 || !/^data:/i.test(text)) {
    throw new InvalidMediaError(
      'must be a data URL (data:<media type>;base64,<data>) or an https URL',
    );
  }
  if (encoding === undefined) throw new InvalidMediaError('the data URL must be in base64');
  const data = text.slice(comma + 1);
  if (data.length * 0.75 - 2 > maxBytes) throw new PayloadTooLargeError(maxBytes);
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(data))
    throw new InvalidMediaError('the base64 is malformed');
  return Buffer.from(data, 'base64');
}

/** The media field that checks media of a kind. */
export function mediaField(kind: string): MediaField {
  const field = MEDIA_KINDS[kind];
  if (field === undefined) throw new TypeError(`there is no kind of media called ${kind}`);
  return field;
}
