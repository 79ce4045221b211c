/* What is left of a prediction whose data is gone: that it was there. */
import { z } from 'zod';
import { DAY_MS } from '../contract/duration.ts';
import { JSON_MEDIA_TYPE, payloadKeys } from '../contract/payload.ts';
import type { Accepted } from '../contract/prediction.ts';
import { readSmall, SMALL_BYTES } from '../storage/claims.ts';
import {
  PayloadNotFoundError,
  type PayloadStore,
  type Piece,
  StorageError,
} from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';

/** How long a tombstone is kept. */
const TOMBSTONE_TTL_MS = 30 * DAY_MS;

export interface Tombstone {
  readonly id: string;
  readonly tenant: string;
  /** Whether a client deleted the prediction, or it expired. */
  readonly reason: 'deleted' | 'expired';
  /** RFC 3339. */
  readonly deleted_at: string;
}

export async function leaveTombstone(
  { id, tenant }: Pick<Accepted, 'id' | 'tenant'>,
  reason: Tombstone['reason'],
  store: PayloadStore,
): Promise<void> {
  const tombstone: Tombstone = { id, tenant, reason, deleted_at: new Date().toISOString() };
  const body = Buffer.from(JSON.stringify(tombstone));
  const key = payloadKeys.tombstone(id);
  const put = async () => await store.put(key, body, { mediaType: JSON_MEDIA_TYPE });
  await put().catch(async (error: unknown) => {
    if (error instanceof StorageError && error.isFull) throw error;
    await store.delete(key); // something that is no file may lie in its place
    await put();
  });
}

/**
 * Null: there is none, or what lies in its place is none. A store that is far away may answer as it was a moment ago,
 * unless it has to be `just now`.
 */
export async function findTombstone(
  id: string,
  store: PayloadStore,
  asOf: 'a moment ago' | 'just now' = 'a moment ago',
): Promise<Tombstone | null> {
  const piece = asOf === 'just now' ? { offset: 0, bytes: SMALL_BYTES } : undefined; // a piece is never remembered
  const found = await readTombstone(payloadKeys.tombstone(id), store, piece);
  return found === 'none of ours' || found?.id !== id ? null : found;
}

/** Removes tombstones that are old enough, and files in their folder that are none. */
export async function removeOldTombstones(store: PayloadStore, logger: Logger): Promise<void> {
  for await (const key of store.list(payloadKeys.tombstones)) {
    try {
      const tombstone = await readTombstone(key, store);
      if (tombstone === null) continue;
      if (tombstone === 'none of ours') logger.warn({ key }, 'removing what is no tombstone');
      else if (Date.now() - Date.parse(tombstone.deleted_at) <= TOMBSTONE_TTL_MS) continue;
      await store.delete(key);
    } catch (error) {
      logger.warn({ err: error, key }, 'a tombstone can be neither read nor removed');
    }
  }
}

async function readTombstone(
  key: string,
  store: PayloadStore,
  piece?: Piece,
): Promise<Tombstone | 'none of ours' | null> {
  try {
    const bytes = await readSmall(store, key, piece);
    return tombstoneSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch (error) {
    if (error instanceof PayloadNotFoundError) return null;
    if (error instanceof StorageError) throw error;
    return 'none of ours';
  }
}

const tombstoneSchema = z.object({
  id: z.string(),
  tenant: z.string(),
  reason: z.enum(['deleted', 'expired']),
  deleted_at: z.iso.datetime(),
}) satisfies z.ZodType<Tombstone>;
