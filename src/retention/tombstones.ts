/* What is left of a prediction whose data is gone: that it was there. */
import { DAY_MS } from '../contract/duration.ts';
import { JSON_MEDIA_TYPE, payloadKeys } from '../contract/payload.ts';
import type { Accepted } from '../contract/prediction.ts';
import { PayloadNotFoundError, type PayloadStore } from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';

/** So long a tombstone says that there was a prediction; then nobody knows. */
const TOMBSTONE_TTL_MS = 30 * DAY_MS;

export interface Tombstone {
  readonly id: string;
  readonly tenant: string;
  /** Somebody asked for it, or its time had come. */
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
  await store.put(payloadKeys.tombstone(id), body, { mediaType: JSON_MEDIA_TYPE });
}

/** Null: there is none. */
export async function findTombstone(id: string, store: PayloadStore): Promise<Tombstone | null> {
  return await readTombstone(payloadKeys.tombstone(id), store);
}

/** Removes those that have stood long enough. */
export async function removeOldTombstones(store: PayloadStore, logger: Logger): Promise<void> {
  for (const key of await store.list(payloadKeys.tombstones)) {
    try {
      const tombstone = await readTombstone(key, store);
      const ageMs = Date.now() - Date.parse(tombstone?.deleted_at ?? '');
      if (ageMs > TOMBSTONE_TTL_MS) await store.delete(key);
    } catch (error) {
      logger.warn({ err: error, key }, 'a tombstone cannot be read');
    }
  }
}

async function readTombstone(key: string, store: PayloadStore): Promise<Tombstone | null> {
  try {
    return JSON.parse((await store.get(key)).toString('utf8')) as Tombstone;
  } catch (error) {
    if (error instanceof PayloadNotFoundError) return null;
    throw error;
  }
}
