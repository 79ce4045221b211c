/* What lies in a payload store. */
import type { PayloadStore } from '../../src/storage/payload-store.ts';

/** The keys below a folder, in order. */
export async function keysOf(store: PayloadStore, folder: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const key of store.list(folder)) keys.push(key);
  return keys.toSorted();
}
