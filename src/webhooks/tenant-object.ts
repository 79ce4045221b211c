/*
 * A small encrypted object of a tenant that several processes read and change. Each change is a new
 * generation, created only if nobody else has created it: compare-and-swap with what every
 * store can do.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { payloadKeys } from '../contract/payload.ts';
import { readSmall } from '../storage/claims.ts';
import { PayloadNotFoundError, type PayloadStore } from '../storage/payload-store.ts';
import type { SecretBox } from './secret-box.ts';

const MEDIA_TYPE = 'application/json';
const LONGEST_PAUSE_MS = 50; // between two tries, so that not all of them meet again
const TRIES = 50; // others change it at the same time: each time one of us has come through
/** Older generations are removed. A writer that slept through so many changes has to begin again. */
const KEPT_GENERATIONS = 8;
const GENERATION_DIGITS = 10;
const GENERATION = /^\d{10}$/;

export interface TenantObjects {
  readonly store: PayloadStore;
  readonly box: SecretBox;
}

export class TenantObject<T> {
  readonly #objects: TenantObjects;
  readonly #name: string;

  /** `name` is what all tenants call it. */
  constructor(objects: TenantObjects, name: string) {
    this.#objects = objects;
    this.#name = name;
  }

  /** Null: it has never been written. */
  async read(tenant: string): Promise<T | null> {
    return (await this.#newest(tenant)).value;
  }

  /**
   * Writes what `change` makes of the present value, and returns it; `change` may be asked again
   * when somebody else was faster, and writes nothing when it returns the value it was given.
   */
  async update(tenant: string, change: (value: T | null) => T): Promise<T> {
    const { store, box } = this.#objects;
    for (let tries = 0; tries < TRIES; tries++) {
      const { generation, value } = await this.#newest(tenant);
      const next = change(value);
      if (next === value) return next;
      const key = this.#key(tenant, generation + 1);
      const sealed = box.seal(JSON.stringify(next), key);
      if (!(await store.create(key, sealed, { mediaType: MEDIA_TYPE }))) {
        await pause(Math.random() * LONGEST_PAUSE_MS);
        continue;
      }
      const generations = await this.#generations(tenant);
      if ((generations.at(-1) ?? 0) > generation + KEPT_GENERATIONS) {
        await store.delete(key); // ours was written into the place of a removed one
        continue;
      }
      for (const old of generations) {
        if (old <= generation + 1 - KEPT_GENERATIONS) await store.delete(this.#key(tenant, old));
      }
      return next;
    }
    throw new Error(`${this.#name} of ${tenant} is being changed by too many at once`);
  }

  async #newest(tenant: string): Promise<{ generation: number; value: T | null }> {
    const { store, box } = this.#objects;
    for (;;) {
      const generation = (await this.#generations(tenant)).at(-1);
      if (generation === undefined) return { generation: 0, value: null };
      const key = this.#key(tenant, generation);
      try {
        return { generation, value: JSON.parse(box.open(await readSmall(store, key), key)) as T };
      } catch (error) {
        if (!(error instanceof PayloadNotFoundError)) throw error; // removed since: look again
      }
    }
  }

  async #generations(tenant: string): Promise<readonly number[]> {
    const keys = await this.#objects.store.list(payloadKeys.tenantObject(tenant, this.#name));
    const names = keys.map((key) => key.slice(key.lastIndexOf('/') + 1));
    return names.filter((name) => GENERATION.test(name)).map(Number); // others are not ours
  }

  #key(tenant: string, generation: number): string {
    const folder = payloadKeys.tenantObject(tenant, this.#name);
    return `${folder}/${String(generation).padStart(GENERATION_DIGITS, '0')}`;
  }
}
