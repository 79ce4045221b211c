import type { PayloadStore } from '../storage/payload-store.ts';
import { findTombstone } from '../retention/tombstones.ts';
import { Refusal } from '../contract/refusal.ts';

/**
 * Throws the problems `data_removed` and `expired` when the prediction was the tenant's, and its data is
 * gone.
 */
export async function refuseRemovedData(
  id: string,
  tenant: string,
  store: PayloadStore,
): Promise<void> {
  const tombstone = await findTombstone(id, store);
  if (tombstone === null || tombstone.tenant !== tenant) return;
  const { reason, deleted_at: at } = tombstone;
  if (reason === 'expired') throw new Refusal('expired', `${id} has expired`);
  throw new Refusal('data_removed', `${id} was deleted at ${at}`);
}
