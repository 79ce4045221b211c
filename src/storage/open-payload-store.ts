import { EncryptingPayloadStore } from './encrypting-payload-store.ts';
import { FilePayloadStore } from './file-payload-store.ts';
import type { PayloadStore } from './payload-store.ts';
import type { S3Settings } from './s3-payload-store.ts';

/** Where payloads lie: in a folder, or in a bucket of S3. */
export type PayloadPlace =
  { readonly kind: 'folder'; readonly folder: string } | ({ readonly kind: 's3' } & S3Settings);

/** What is read all the time from a bucket may be so old. */
const FRESH_MS = 2000;

/**
 * Opens the payload store; throws `StorageError` when it cannot be used. With keys, of 32 bytes each, the first encrypts
 * whatever is stored from now on, and all decrypt.
 */
export async function openPayloadStore(
  place: PayloadPlace,
  encryptionKeys: readonly Buffer[],
): Promise<PayloadStore> {
  const [first, ...others] = encryptionKeys;
  const encrypting = (store: PayloadStore) =>
    first === undefined ? store : new EncryptingPayloadStore(store, [first, ...others]);
  if (place.kind === 'folder') return encrypting(await FilePayloadStore.open(place.folder));
  // Which versions of Node its client is going to support is for whoever updates it, not for a log.
  // oxlint-disable-next-line no-process-env -- its client is told in no other way
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';
  // Its client takes 100 ms to be loaded, which others need not wait for.
  const { S3PayloadStore } = await import('./s3-payload-store.ts');
  const { RememberingPayloadStore } = await import('./remembering-payload-store.ts');
  return new RememberingPayloadStore(encrypting(await S3PayloadStore.open(place)), FRESH_MS);
}
