/* Items of a batch that give media by URL: where they lead is checked, and there are only so many. */
import type { Item } from '../batches/item-index.ts';
import { isFileId } from '../contract/ids.ts';
import { invalidAt } from '../contract/refusal.ts';
import type { ModelVersion } from '../models/repository.ts';
import type { AddressPolicy } from '../outbound/address-policy.ts';
import { requireAllowedUrl } from './allowed-url.ts';

const MAX_URLS = 1000;

export class ItemUrls {
  readonly #media: Readonly<Record<string, string>>;
  readonly #addressPolicy: AddressPolicy;
  #count = 0;

  constructor({ schema }: ModelVersion, addressPolicy: AddressPolicy) {
    const kinds = Object.entries(schema.media).map(([field, { kind }]) => [field, kind]);
    this.#media = Object.fromEntries(kinds) as Record<string, string>;
    this.#addressPolicy = addressPolicy;
  }

  /** See `BatchItems`. */
  get fetches(): Readonly<Record<string, string>> | null {
    return this.#count === 0 ? null : this.#media;
  }

  /** Refuses a URL that we may not send requests to, and too many of them. */
  look({ input }: Item, index: number): void {
    for (const field of Object.keys(this.#media)) {
      const given = (input as Record<string, unknown> | null)?.[field];
      if (typeof given !== 'string' || isFileId(given) || !/^https?:/i.test(given)) continue;
      const pointer = `/items/${index}/input/${field}`;
      requireAllowedUrl(given, this.#addressPolicy, pointer);
      this.#count += 1;
      if (this.#count <= MAX_URLS) continue;
      const detail = `is one URL too many: a batch may have ${MAX_URLS}; store the rest as files`;
      throw invalidAt(pointer, detail);
    }
  }
}
