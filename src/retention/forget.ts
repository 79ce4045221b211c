import { payloadKeys } from '../contract/payload.ts';
import { deliveryId, type Finished, receiversOf } from '../contract/webhook.ts';
import { type PayloadStore, StorageError } from '../storage/payload-store.ts';
import type { Engine } from '../temporal/engine.ts';
import { leaveTombstone, type Tombstone } from './tombstones.ts';

const isFull = (error: unknown): boolean => error instanceof StorageError && error.isFull;

/**
 * Removes what has ended: its payloads, its workflow and its deliveries. What fails before its workflow is
 * gone, doing it once more finishes.
 */
export async function forget(
  finished: Finished,
  reason: Tombstone['reason'],
  { store, engine }: { readonly store: PayloadStore; readonly engine: Engine },
): Promise<void> {
  const { accepted } = finished;
  const { id } = accepted;
  try {
    await leaveTombstone(accepted, reason, store);
  } catch (error) {
    if (!isFull(error)) throw error;
    await store.delete(payloadKeys.owned(accepted)); // which makes room for it
    await leaveTombstone(accepted, reason, store).catch((again: unknown) => {
      // If there is no room even for the tombstone, nothing will tell that the prediction was there.
      if (!isFull(again)) throw again;
    });
  }
  await store.delete(payloadKeys.owned(accepted));
  const deliveries = receiversOf(finished).map((receiver) => deliveryId(id, receiver));
  // The deliveries come once more at the end: the workflow may have started them meanwhile.
  for (const each of [...deliveries, id, ...deliveries]) await engine.remove(each);
}
