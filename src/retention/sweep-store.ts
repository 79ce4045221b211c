/*
 * Looks at everything in the payload store that belongs to somebody, and removes what nobody needs any more:
 *
 *  O1  What has no owner: a process died between an upload and its start.
 *  O2  What an owner that has ended does not refer to: results of attempts that were given up, and of chunks.
 *  O3  Files that have expired, or whose upload was begun and never completed.
 *
 * It never removes what is younger than a day, nor what belongs to something that has not ended, nor what somebody
 * else has put into the store.
 */
import { DAY_MS } from '../contract/duration.ts';
import type { StoredFile } from '../contract/file.ts';
import { isBatchId, isFileId, isPredictionId } from '../contract/ids.ts';
import { type Owner, OWNED_FOLDERS, ownerOfKey, payloadKeys } from '../contract/payload.ts';
import { Files } from '../files/files.ts';
import type { StoredEntry } from '../storage/payload-store.ts';
import { finishedIn, type SweepDependencies } from './sweep-expired.ts';
import { removeOldTombstones } from './tombstones.ts';

/** Younger ones may belong to a request that is on its way. */
const LEAST_AGE_MS = DAY_MS;
/** A cursor is told after so many owners. */
const OWNERS_PER_CURSOR = 20;

/** How far a sweep has come. */
export interface StoreCursor {
  readonly folder: string;
  /** The last key that was looked at; null: none of this folder. */
  readonly after: string | null;
  readonly removed: number;
}

export const FIRST_STORE: StoreCursor = { folder: OWNED_FOLDERS[0] ?? '', after: null, removed: 0 };

/** Yields now and then how far it has come. Throws when the engine or the store is away. */
export async function* sweepStore(
  from: StoreCursor,
  dependencies: SweepDependencies,
): AsyncGenerator<StoreCursor> {
  const { store, logger, now } = dependencies;
  let { removed } = from;
  const folders = OWNED_FOLDERS.slice(Math.max(0, OWNED_FOLDERS.indexOf(from.folder)));
  for (const folder of folders) {
    const after = folder === from.folder ? from.after : null;
    let owners = 0;
    for await (const entries of byOwner(store.entries(folder, after))) {
      removed += await sweepOwner(entries, dependencies);
      owners += 1;
      if (owners % OWNERS_PER_CURSOR === 0)
        yield { folder, after: entries.at(-1)?.key ?? null, removed };
    }
    yield { folder, after: null, removed };
  }
  await removeOldTombstones(store, logger);
  removed += await store.removeHalfWritten(now() - LEAST_AGE_MS);
  yield { folder: folders.at(-1) ?? '', after: null, removed };
}

/** The entries of one owner after the other. They follow each other, whatever the order of a store. */
async function* byOwner(
  entries: AsyncIterable<StoredEntry>,
): AsyncGenerator<readonly StoredEntry[]> {
  let gathered: StoredEntry[] = [];
  const ownerIn = ({ key }: StoredEntry) => JSON.stringify(ownerOfKey(key));
  for await (const entry of entries) {
    const [first] = gathered;
    if (first !== undefined && ownerIn(first) !== ownerIn(entry)) {
      yield gathered;
      gathered = [];
    }
    gathered.push(entry);
  }
  if (gathered.length > 0) yield gathered;
}

/** Returns how many payloads were removed. */
async function sweepOwner(
  entries: readonly StoredEntry[],
  dependencies: SweepDependencies,
): Promise<number> {
  const owner = ownerOfKey(entries[0]?.key ?? '');
  if (owner === null) return 0; // a stranger may have put something there
  const { store, logger, now } = dependencies;
  const oldest = now() - LEAST_AGE_MS;
  const old = entries.filter(({ modifiedAtMs }) => modifiedAtMs < oldest);
  if (isFileId(owner.id)) return await sweepFile(owner, entries, old, dependencies);
  if (old.length === 0 || !(isPredictionId(owner.id) || isBatchId(owner.id))) return 0;
  const description = await dependencies.engine.find(owner.id);
  if (description === null) {
    if (old.length < entries.length) return 0;
    await store.delete(payloadKeys.owned(owner)); // O1
    logger.info({ id: owner.id }, 'payloads that belong to nothing were removed');
    return entries.length;
  }
  const finished = finishedIn(description, isBatchId(owner.id) ? 'batch' : 'prediction');
  if (finished === null) return 0;
  const referred = keysIn(finished);
  const dangling = old.filter(({ key }) => !referred.has(key));
  for (const { key } of dangling) await store.delete(key); // O2
  return dangling.length;
}

async function sweepFile(
  owner: Owner,
  entries: readonly StoredEntry[],
  old: readonly StoredEntry[],
  { store, now }: SweepDependencies,
): Promise<number> {
  const files = new Files(store);
  const file = await files.find(owner);
  const isOld = old.length === entries.length;
  const records: readonly string[] = [payloadKeys.file(owner), payloadKeys.fileUpload(owner)];
  if (file === null) {
    // A record that cannot be read is left alone: somebody may want to repair it.
    if (!isOld || entries.some(({ key }) => records.includes(key))) return 0;
    await store.delete(payloadKeys.owned(owner)); // O1
    return entries.length;
  }
  const isGivenUp = file.content === null && isOld;
  if (Date.parse(file.expires_at) < now() || isGivenUp) {
    await files.delete(file, 'expired'); // O3
    return entries.length;
  }
  const dangling = file.content === null ? [] : old.filter(({ key }) => !isOf(file, key));
  for (const { key } of dangling) await store.delete(key); // O2
  return dangling.length;
}

const isOf = (file: StoredFile, key: string): boolean =>
  key === payloadKeys.file(file) || key === file.content?.key;

/** The keys of all claims in a value. */
function keysIn(value: unknown, found = new Set<string>()): ReadonlySet<string> {
  if (typeof value !== 'object' || value === null) return found;
  const { key, sha256 } = value as { readonly key?: unknown; readonly sha256?: unknown };
  if (typeof key === 'string' && typeof sha256 === 'string') found.add(key);
  for (const member of Object.values(value)) keysIn(member, found);
  return found;
}
