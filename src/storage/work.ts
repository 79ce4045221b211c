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

function parsePart(text: string, key: string): Part {
  try {
    return JSON.parse(text) as Part;
  } catch (error) {
    throw new PayloadCorruptError(key, messageOf(error));
  }
}
