import { Problem } from './problems.ts';

/** When more tenants than this are known, those with a full bucket are forgotten. */
const MAX_KNOWN = 1000;

/** How often a tenant may ask for something that makes requests to others: a token bucket. */
export class Rate {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  /** Allows `burst` requests at once, and then `perSecond`. */
  constructor({ burst, perSecond }: { readonly burst: number; readonly perSecond: number }) {
    this.#burst = burst;
    this.#perSecond = perSecond;
  }

  /** Throws the problem `rate_limited` when it was asked too often. */
  take(tenant: string): void {
    const nowMs = performance.now();
    const bucket = this.#buckets.get(tenant) ?? { tokens: this.#burst, atMs: nowMs };
    const tokens = this.#tokensOf(bucket, nowMs);
    if (tokens < 1) {
      const waitS = Math.ceil((1 - tokens) / this.#perSecond);
      const detail = `you have asked for this ${this.#burst} times in a short while: wait ${waitS} s`;
      throw new Problem('rate_limited', detail, { retryAfterMs: waitS * 1000 });
    }
    this.#buckets.set(tenant, { tokens: tokens - 1, atMs: nowMs });
    if (this.#buckets.size > MAX_KNOWN) this.#forget(nowMs);
  }

  #tokensOf({ tokens, atMs }: { tokens: number; atMs: number }, nowMs: number): number {
    return Math.min(this.#burst, tokens + ((nowMs - atMs) / 1000) * this.#perSecond);
  }

  #forget(nowMs: number): void {
    for (const [tenant, bucket] of this.#buckets) {
      if (this.#tokensOf(bucket, nowMs) >= this.#burst) this.#buckets.delete(tenant);
    }
  }
}

/** How often a tenant may have its receivers told again. */
export interface RedeliveryRates {
  readonly one: Rate;
  /** All that have failed: each time two hundred at most. */
  readonly all: Rate;
}

export const createRedeliveryRates = (): RedeliveryRates => ({
  one: new Rate({ burst: 60, perSecond: 1 }),
  all: new Rate({ burst: 10, perSecond: 0.1 }),
});
