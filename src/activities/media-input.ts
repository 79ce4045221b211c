import type { Claim } from '../contract/payload.ts';
import type { FieldValue } from '../runtime/protocol.ts';
import { readClaim } from '../storage/claims.ts';
import { LARGE_BYTES, openLocalFile } from '../storage/local-file.ts';
import type { PayloadStore } from '../storage/payload-store.ts';

/** Inputs that were read; what lies on the disk for them is removed by `release`. */
export class ReadInputs {
  readonly #store: PayloadStore;
  readonly #spoolFolder: string;
  readonly #releases: (() => Promise<void>)[] = [];

  constructor(store: PayloadStore, spoolFolder: string) {
    this.#store = store;
    this.#spoolFolder = spoolFolder;
  }

  /** Media: its bytes, or where they lie when they are many. Throws `PayloadNotFoundError` and `PayloadCorruptError`. */
  async media(claim: Claim): Promise<FieldValue> {
    if (claim.bytes <= LARGE_BYTES) {
      return { kind: 'media', bytes: await readClaim(this.#store, claim) };
    }
    const file = await openLocalFile(this.#store, claim, this.#spoolFolder);
    this.#releases.push(async () => await file.release());
    return { kind: 'file', path: file.path };
  }

  /** They are needed no more. */
  async release(): Promise<void> {
    await Promise.all(this.#releases.splice(0).map(async (release) => await release()));
  }
}
