/* Reads the work that lies in the store in part. */
import { messageOf } from '../contract/failure.ts';
import { joined, type Part, storedParts, type WorkSoFar } from '../contract/work.ts';
import { readClaim } from './claims.ts';
import { PayloadCorruptError, type PayloadStore } from './payload-store.ts';

/** All of some work as one part; throws `PayloadNotFoundError` and `PayloadCorruptError`. */
export async function readWork(work: WorkSoFar, store: PayloadStore): Promise<Part | null> {
  let all: Part | null = null;
  for await (const part of readParts(work, store)) all = joined(all, part);
  return all;
}

/** Some work part by part, so that no more than one of them is in memory; throws as `readWork`. */
export async function* readParts(work: WorkSoFar, store: PayloadStore): AsyncGenerator<Part> {
  for (const claim of storedParts(work)) {
    const text = (await readClaim(store, claim)).toString('utf8');
    yield parsePart(text, claim.key);
  }
  if (work.tail !== null) yield work.tail;
}

/**
 * What the latest part says that says it at all: read from the last part backwards, so that no more of them are read
 * than need be. `onRead` is called with the bytes of each. Throws as `readWork`.
 */
export async function readLatest<T>(
  work: WorkSoFar,
  store: PayloadStore,
  find: (part: Part) => T | null,
  onRead: (bytes: number) => void,
): Promise<T | null> {
  const inTail = work.tail === null ? null : find(work.tail);
  if (inTail !== null) return inTail;
  for (const claim of storedParts(work).toReversed()) {
    onRead(claim.bytes);
    const found = find(parsePart((await readClaim(store, claim)).toString('utf8'), claim.key));
    if (found !== null) return found;
  }
  return null;
}

function parsePart(text: string, key: string): Part {
  try {
    return JSON.parse(text) as Part;
  } catch (error) {
    throw new PayloadCorruptError(key, messageOf(error));
  }
}
