import { type Json, type Stored } from '../contract/payload.ts';
import { readClaim } from '../storage/claims.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { OutputRoom } from './prediction-reader.ts';

/** A value that is JSON, wherever it lies. Throws `PayloadNotFoundError` and `PayloadCorruptError`. */
export async function readJson(
  stored: Stored,
  { store, room }: { readonly store: PayloadStore; readonly room: OutputRoom },
): Promise<Json> {
  if (stored.kind === 'inline') return stored.value;
  room.take(stored.claim.bytes);
  const text = (await readClaim(store, stored.claim)).toString('utf8');
  await room.turn(text.length);
  return JSON.parse(text) as Json;
}
