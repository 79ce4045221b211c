import { randomBytes } from 'node:crypto';
import { type Claim, JSON_MEDIA_TYPE, type Owner, payloadKeys } from '../contract/payload.ts';
import { type MediaUpload, storeMedia } from '../media/media-upload.ts';
import type { PayloadStore } from '../storage/payload-store.ts';

/**
 * What one order puts into the store. It ends with `keep` when the prediction was started, or may have
 * been, and with `discard` otherwise. Each order has keys of its own: another one with the same
 * Idempotency-Key, and so the same id, keeps what it has stored.
 */
export class Staging {
  readonly #store: PayloadStore;
  readonly #owner: Owner;
  readonly #nonce = randomBytes(6).toString('hex');
  readonly #hasOwnId: boolean;
  #keys: string[] = [];

  /** `hasOwnId`: nobody else stores anything for a prediction with this id. */
  constructor(store: PayloadStore, owner: Owner, hasOwnId: boolean) {
    this.#store = store;
    this.#owner = owner;
    this.#hasOwnId = hasOwnId;
  }

  /** Throws `PayloadTooLargeError` when it has more than `maxBytes`. */
  async put(
    field: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    mediaType: string,
    maxBytes?: number,
  ): Promise<Claim> {
    const limit = maxBytes === undefined ? {} : { maxBytes };
    return await this.#store.put(this.#keyOf(field), body, { mediaType, ...limit });
  }

  /** Sealed options. */
  async putSecrets(sealed: Uint8Array | AsyncIterable<Uint8Array>): Promise<Claim> {
    const key = this.#note(payloadKeys.secrets(this.#owner, this.#nonce));
    return await this.#store.put(key, sealed, { mediaType: JSON_MEDIA_TYPE });
  }

  /** Looks at the media while it arrives; throws `InvalidMediaError`. */
  async putMedia(field: string, media: Omit<MediaUpload, 'key'>): Promise<Claim> {
    return await storeMedia(this.#store, { ...media, key: this.#keyOf(field) });
  }

  keep(): void {
    this.#keys = [];
  }

  /** Does what it can: the sweep removes what is left and belongs to no prediction. */
  async discard(): Promise<void> {
    const keys = this.#hasOwnId ? [payloadKeys.owned(this.#owner)] : this.#keys;
    this.keep();
    await Promise.all(keys.map(async (key) => await this.#store.delete(key))).catch(() => {});
  }

  #keyOf(field: string): string {
    return this.#note(payloadKeys.input(this.#owner, field, this.#nonce));
  }

  /** A key is noted before anything is written, so that a failed write is removed too. */
  #note(key: string): string {
    this.#keys.push(key);
    return key;
  }
}
