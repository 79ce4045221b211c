import type { Claim, Owner } from '../contract/payload.ts';
import type { MediaField, MediaLimits } from '../pipelines/index.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import { inspectHead } from './media-upload.ts';

/** What finds the bytes of a file; throws a refusal when there are none. */
export interface FileFinder {
  content(id: string, tenant: string): Promise<Claim>;
}

/**
 * A claim on a file as media of a field. The bytes stay where they are. Throws `InvalidMediaError` when the field does
 * not take them, and what the finder throws.
 */
export async function fileAsMedia(
  { tenant, id }: Owner,
  field: MediaField,
  limits: MediaLimits,
  { files, store }: { readonly files: FileFinder; readonly store: PayloadStore },
): Promise<Claim> {
  const claim = await files.content(id, tenant);
  return { ...claim, media_type: await inspectHead(store, claim, field, limits) };
}
