/*
 * A small encrypted object of a tenant that several processes read and change. Each change is a new
 * generation, created only if nobody else has created it: compare-and-swap with what every
 * store can do.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { payloadKeys } from '../contract/payload.ts';
import { readSmall } from '../storage/claims.ts';
import { Refusal } from '../contract/refusal.ts';
import {
  PayloadCorruptError,
  PayloadNotFoundError,
  type PayloadStore,
  StorageError,
} from '../storage/payload-store.ts';
import type { SecretBox } from '../secrets/secret-box.ts';

const MEDIA_TYPE = 'application/json';
const LONGEST_PAUSE_MS = 50; // between two tries, so that not all of them meet again
const TRIES = 50; // others change it at the same time: each time one of us has come through
/** Older generations are removed. A writer that slept through so many changes has to begin again. */
const KEPT_GENERATIONS = 8;
const RETRY_AFTER_MS = 1000;
const GENERATION_DIGITS = 10;
const GENERATION = /^\d{10}$/;

export interface TenantObjects {
  readonly store: PayloadStore;
  readonly box: SecretBox;
}

export class TenantObject<T> {
  readonly #objects: TenantObjects;
  readonly #name: string;
  /** The latest change of each tenant in this process: they take turns. */
  readonly #changing = new Map<string, Promise<unknown>>();

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
   * when somebody else was faster, and writes nothing when it returns the value it was given. Refuses
   * when others are always faster.
   */
  async update(tenant: string, change: (value: T | null) => T): Promise<T> {
    const before = this.#changing.get(tenant) ?? Promise.resolve();
    const mine = before.catch(() => {}).then(async () => await this.#update(tenant, change));
    this.#changing.set(tenant, mine);
    try {
      return await mine;
    } finally {
      if (this.#changing.get(tenant) === mine) this.#changing.delete(tenant);
    }
  }

  async #update(tenant: string, change: (value: T | null) => T): Promise<T> {
    const { store, box } = this.#objects;
    let occupied = 0; // names behind the newest generation that somebody else has taken
    for (let tries = 0; tries < TRIES; tries++) {
      const { generation, value } = await this.#newest(tenant);
      const next = change(value);
      if (next === value) return next;
      const own = generation + 1 + occupied;
      const key = this.#key(tenant, own);
      const sealed = box.seal(JSON.stringify(next), key);
      if (!(await store.create(key, sealed, { mediaType: MEDIA_TYPE }))) {
        const isOurs = ((await this.#generations(tenant)).at(-1) ?? 0) >= own;
        occupied = isOurs ? 0 : occupied + 1; // a folder, a pipe or a link is no generation
        await pause(Math.random() * LONGEST_PAUSE_MS);
        continue;
      }
      const generations = await this.#generations(tenant);
      if ((generations.at(-1) ?? 0) > own + KEPT_GENERATIONS - 1) {
        await store.delete(key); // ours was written into the place of a removed one
        continue;
      }
      for (const old of generations) {
        if (old <= own - KEPT_GENERATIONS) await store.delete(this.#key(tenant, old));
      }
      return next;
    }
    throw new Refusal(
      'overloaded',
      `your ${this.#name} are being changed by too many at once: try again in a moment`,
      { retryAfterMs: RETRY_AFTER_MS },
    );
  }

  async #newest(tenant: string): Promise<{ generation: number; value: T | null }> {
    const { store, box } = this.#objects;
    let missing = 0;
    for (;;) {
      const generation = (await this.#generations(tenant)).at(-1);
      if (generation === undefined) return { generation: 0, value: null };
      const key = this.#key(tenant, generation);
      try {
        return { generation, value: JSON.parse(box.open(await readSmall(store, key), key)) as T };
      } catch (error) {
        if (error instanceof PayloadCorruptError) {
          throw new StorageError(error.message, { cause: error, needsPerson: true });
        }
        if (!(error instanceof PayloadNotFoundError)) throw error;
        if (generation === missing) throw new StorageError(`cannot open ${key}`, { cause: error });
        missing = generation; // removed since it was listed: there is a newer one
      }
    }
  }

  /** In rising order. */
  async #generations(tenant: string): Promise<readonly number[]> {
    const folder = payloadKeys.tenantObject(tenant, this.#name);
    const generations: number[] = [];
    for await (const key of this.#objects.store.list(folder)) {
      const name = key.slice(folder.length + 1);
      if (GENERATION.test(name)) generations.push(Number(name)); // others are not ours
    }
    return generations.toSorted((a, b) => a - b);
  }

  #key(tenant: string, generation: number): string {
    const folder = payloadKeys.tenantObject(tenant, this.#name);
    return `${folder}/${String(generation).padStart(GENERATION_DIGITS, '0')}`;
  }
}
