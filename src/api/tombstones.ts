/* What is left of a prediction that was deleted: that it was there. */
import { JSON_MEDIA_TYPE, payloadKeys } from '../contract/payload.ts';
import type { Accepted } from '../contract/prediction.ts';
import { PayloadNotFoundError, type PayloadStore } from '../storage/payload-store.ts';
import { Problem } from './problems.ts';

interface Tombstone {
  readonly id: string;
  readonly tenant: string;
  readonly deleted_at: string;
}

export async function leaveTombstone(
  { id, tenant }: Pick<Accepted, 'id' | 'tenant'>,
  store: PayloadStore,
): Promise<void> {
  const tombstone: Tombstone = { id, tenant, deleted_at: new Date().toISOString() };
  const body = Buffer.from(JSON.stringify(tombstone));
  await store.put(payloadKeys.tombstone(id), body, { mediaType: JSON_MEDIA_TYPE });
}

/** Throws the problem `data_removed` when the prediction was the tenant's, and was deleted. */
export async function refuseDeleted(
  id: string,
  tenant: string,
  store: PayloadStore,
): Promise<void> {
  const tombstone = await find(id, store);
  if (tombstone === null || tombstone.tenant !== tenant) return;
  throw new Problem('data_removed', `${id} was deleted at ${tombstone.deleted_at}`);
}

export const isDeleted = async (id: string, store: PayloadStore): Promise<boolean> =>
  (await find(id, store)) !== null;

async function find(id: string, store: PayloadStore): Promise<Tombstone | null> {
  try {
    const text = await store.get(payloadKeys.tombstone(id));
    return JSON.parse(text.toString('utf8')) as Tombstone;
  } catch (error) {
    if (error instanceof PayloadNotFoundError) return null;
    throw error;
  }
}
