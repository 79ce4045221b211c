import type { Claim } from '../contract/payload.ts';
import { openClaim } from '../storage/claims.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import { isBlank, LineCutter } from './lines.ts';

/**
 * The lines of a payload that hold something, from one that was checked before its first byte. Each ends with a line
 * feed. Throws `PayloadNotFoundError` and `PayloadCorruptError`.
 */
export async function* storedLines(store: PayloadStore, claim: Claim): AsyncGenerator<Buffer> {
  const cutter = new LineCutter(Number.POSITIVE_INFINITY);
  for await (const chunk of (await openClaim(store, claim)) as AsyncIterable<Uint8Array>) {
    for (const line of cutter.cut(chunk)) if (!isBlank(line)) yield line;
  }
}
