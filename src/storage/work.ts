/* Reads the work that lies in the store in part. */
import { messageOf } from '../contract/failure.ts';
import { joined, type Part, type WorkSoFar } from '../contract/work.ts';
import { readClaim } from './claims.ts';
import { PayloadCorruptError, type PayloadStore } from './payload-store.ts';

/** All of some work as one part; throws `PayloadNotFoundError` and `PayloadCorruptError`. */
export async function readWork(
  { head, tail }: WorkSoFar,
  store: PayloadStore,
): Promise<Part | null> {
  if (head === null) return tail;
  const text = (await readClaim(store, head)).toString('utf8');
  const before = parsePart(text, head.key);
  return tail === null ? before : joined(before, tail);
}

function parsePart(text: string, key: string): Part {
  try {
    return JSON.parse(text) as Part;
  } catch (error) {
    throw new PayloadCorruptError(key, messageOf(error));
  }
}
