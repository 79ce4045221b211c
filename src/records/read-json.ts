/* Values that lie in the store, counted and parsed in turn. */
import { type Json, type Stored } from '../contract/payload.ts';
import { storedBytes, textOf, type WorkSoFar } from '../contract/work.ts';
import { readClaim } from '../storage/claims.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import { readWork } from '../storage/work.ts';
import type { OutputRoom } from './prediction-reader.ts';

interface Place {
  readonly store: PayloadStore;
  readonly room: OutputRoom;
}

/** A value that is JSON, wherever it lies. Throws `PayloadNotFoundError` and `PayloadCorruptError`. */
export async function readJson(stored: Stored, { store, room }: Place): Promise<Json> {
  if (stored.kind === 'inline') return stored.value;
  room.take(stored.claim.bytes);
  const text = (await readClaim(store, stored.claim)).toString('utf8');
  await room.turn(text.length);
  return JSON.parse(text) as Json;
}

/** All text of some work. Throws `PayloadNotFoundError` and `PayloadCorruptError`. */
export async function readText(work: WorkSoFar, { store, room }: Place): Promise<string> {
  const bytes = storedBytes(work);
  const giveBack = room.take(bytes);
  try {
    await room.turn(bytes);
    return textOf(await readWork(work, store));
  } finally {
    giveBack(); // what is sent of it is a piece, or counted by whoever answers with it
  }
}
