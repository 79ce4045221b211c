/*
 * Reads what a claim points at, and checks it: there must be as many bytes as the claim says, with its
 * hash. Whoever can write to the store could otherwise change what is inferred, or what is served
 * under the name of an earlier result.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Claim } from '../contract/payload.ts';
import { PayloadCorruptError, type PayloadStore, type Piece } from './payload-store.ts';

/** A payload up to this size is read whole; hashing it takes a millisecond. */
export const SMALL_BYTES = 1024 ** 2;

/**
 * A small object of our own by its key; throws `PayloadNotFoundError`, and `PayloadCorruptError` when
 * it is larger than any that we write.
 */
export async function readSmall(store: PayloadStore, key: string, piece?: Piece): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of (await store.open(key, piece)) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > SMALL_BYTES) throw new PayloadCorruptError(key, `it has over ${SMALL_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The whole payload; throws `PayloadNotFoundError` and `PayloadCorruptError`. */
export async function readClaim(store: PayloadStore, claim: Claim): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  await check(store, claim, (chunk) => chunks.push(chunk));
  return Buffer.concat(chunks);
}

/**
 * The payload as a stream of exactly the claim's bytes, which have been checked before; throws
 * `PayloadNotFoundError` and `PayloadCorruptError`. Of a piece only the length is checked: reading everything for its
 * hash would make a piece of a large payload as dear as all of it.
 */
export async function openClaim(
  store: PayloadStore,
  claim: Claim,
  piece?: Piece,
): Promise<Readable> {
  if (piece !== undefined) return Readable.from(exactly(store, claim.key, piece));
  if (claim.bytes <= SMALL_BYTES) return Readable.from([await readClaim(store, claim)]);
  await check(store, claim, () => {});
  return Readable.from(exactly(store, claim.key, { offset: 0, bytes: claim.bytes }));
}

/** Reads all of a payload to see that it is what was stored. Throws `PayloadNotFoundError` and `PayloadCorruptError`. */
export async function checkClaim(store: PayloadStore, claim: Claim): Promise<void> {
  await check(store, claim, () => {});
}

/** Reads the payload piece by piece, so that hashing a large one does not block others. */
async function check(
  store: PayloadStore,
  claim: Claim,
  take: (chunk: Uint8Array) => void,
): Promise<void> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of (await store.open(claim.key)) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > claim.bytes) break; // a longer file may be endless
    hash.update(chunk);
    take(chunk);
  }
  requireSame(claim, { bytes, sha256: hash.digest('hex') });
}

/** The file may change after the check: never pass on more bytes than the claim has, and fail when there are fewer. */
async function* exactly(
  store: PayloadStore,
  key: string,
  piece: Piece,
): AsyncGenerator<Uint8Array> {
  let left = piece.bytes;
  for await (const chunk of (await store.open(key, piece)) as AsyncIterable<Uint8Array>) {
    yield chunk.subarray(0, left);
    left -= Math.min(left, chunk.length);
    if (left === 0) return;
  }
  throw new PayloadCorruptError(key, `it ends ${left} bytes too early`);
}

function requireSame(claim: Claim, found: Pick<Claim, 'bytes' | 'sha256'>): void {
  if (found.bytes !== claim.bytes) {
    const what = found.bytes > claim.bytes ? 'more' : 'fewer';
    throw new PayloadCorruptError(claim.key, `it has ${what} than the ${claim.bytes} bytes stored`);
  }
  if (found.sha256 !== claim.sha256) {
    throw new PayloadCorruptError(claim.key, `its sha256 is ${found.sha256}, not ${claim.sha256}`);
  }
}
