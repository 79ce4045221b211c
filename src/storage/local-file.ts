/* Large payloads as files of this machine, for what should not hold them in memory. */
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { makeFolder } from '../disk/make-folder.ts';
import type { Claim } from '../contract/payload.ts';
import { checkClaim, openClaim } from './claims.ts';
import type { PayloadStore } from './payload-store.ts';

/** Smaller payloads are held in memory. */
export const LARGE_BYTES = 32 * 1024 ** 2;

export interface LocalFile {
  readonly path: string;
  /** Call it when the file is needed no more. */
  release(): Promise<void>;
}

/**
 * A payload as a file, which nobody may change: the store's own, or a copy in `spoolFolder`. It was checked. Throws
 * `PayloadNotFoundError` and `PayloadCorruptError`.
 */
export async function openLocalFile(
  store: PayloadStore,
  claim: Claim,
  spoolFolder: string,
): Promise<LocalFile> {
  const own = store.pathOf(claim.key);
  if (own !== null) {
    await checkClaim(store, claim);
    return { path: own, release: async () => {} };
  }
  await makeFolder(spoolFolder);
  const path = join(spoolFolder, randomBytes(12).toString('hex'));
  const release = async () => await rm(path, { force: true });
  try {
    await pipeline(await openClaim(store, claim), createWriteStream(path, { mode: 0o600 }));
    return { path, release };
  } catch (error) {
    await release();
    throw error;
  }
}
