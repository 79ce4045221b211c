import { createHash } from 'node:crypto';
import type { Claim } from '../contract/payload.ts';
import { PayloadTooLargeError } from './payload-store.ts';

/** Counts and hashes a body on its way into a store. */
export class BodyCounter {
  readonly #hash = createHash('sha256');
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes = Number.POSITIVE_INFINITY) {
    this.#maxBytes = maxBytes;
  }

  /** Throws `PayloadTooLargeError` when it has become too large. */
  add(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#maxBytes) throw new PayloadTooLargeError(this.#maxBytes);
    this.#hash.update(chunk);
  }

  /** The size and the hash of all that was added. */
  facts(): Pick<Claim, 'bytes' | 'sha256'> {
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }
}
