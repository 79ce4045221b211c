/*
 * A payload store that takes what clients store only as long as there is room: for their
 * tenant, and on the disk, which the engine's database may share. Everything else passes through:
 * reading, deleting, and the small objects that deleting leaves behind.
 *
 * How much a tenant has stored is measured now and then, not at each request; what is stored here
 * since is added. What other processes store is seen at the next measuring.
 */
import { type Claim, ownerOfKey, payloadKeys } from '../contract/payload.ts';
import { ForwardingPayloadStore } from './forwarding-payload-store.ts';
import {
  type PayloadStore,
  type PutOptions,
  StorageError,
  StorageLimitError,
} from './payload-store.ts';

const MEASURE_EVERY_MS = 60_000;
/** An older measurement is made again before a request is refused … */
const MEASURED_BEFORE_REFUSING_MS = 1000;
/** … but only after ten times as long as the measuring took, so that it takes a tenth of the time at most. */
const PAUSE_AFTER_MEASURING = 10;
const LOOK_AT_DISK_EVERY_MS = 1000;

export interface StorageLimits {
  /** Null: no limit. */
  readonly tenantBytes: number | null;
  /** How many bytes of the disk must stay free. */
  readonly reserveBytes: number;
}

interface Usage {
  measured: number;
  /** Bytes stored here since the latest measuring began, and bytes that are arriving. */
  since: number;
  arriving: number;
  /** Null: not measured yet. */
  measuredAtMs: number | null;
  measuringTookMs: number;
  measuring: Promise<void> | null;
}

export class LimitedPayloadStore extends ForwardingPayloadStore {
  readonly #limits: StorageLimits;
  readonly #usages = new Map<string, Usage>();
  #freeBytes = Number.POSITIVE_INFINITY;
  #lookedAtMs = 0;

  constructor(store: PayloadStore, limits: StorageLimits) {
    super(store);
    this.#limits = limits;
  }

  override async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options: PutOptions,
  ): Promise<Claim> {
    const tenant = ownerOfKey(key)?.tenant;
    if (tenant === undefined) return await this.store.put(key, body, options);
    const usage = this.#usageOf(tenant);
    let arrived = 0;
    const admit = async (bytes: number) => {
      await this.#takeRoom(tenant, usage, bytes);
      arrived += bytes;
    };
    try {
      const pieces = body instanceof Uint8Array ? [body] : body;
      const claim = await this.store.put(key, counted(pieces, admit), options);
      usage.since += arrived;
      return claim;
    } finally {
      usage.arriving -= arrived;
    }
  }

  override async delete(key: string): Promise<void> {
    const usage = this.#usages.get(ownerOfKey(key)?.tenant ?? '');
    const freed = usage === undefined ? 0 : await this.store.measure(key);
    await this.store.delete(key);
    if (usage !== undefined) usage.measured -= freed;
  }

  #usageOf(tenant: string): Usage {
    let usage = this.#usages.get(tenant);
    if (usage === undefined) {
      usage = {
        measured: 0,
        since: 0,
        arriving: 0,
        measuredAtMs: null,
        measuringTookMs: 0,
        measuring: null,
      };
      this.#usages.set(tenant, usage);
    }
    return usage;
  }

  async #takeRoom(tenant: string, usage: Usage, bytes: number): Promise<void> {
    await this.#requireDisk(bytes);
    const tenantBytes = this.#limits.tenantBytes ?? Number.POSITIVE_INFINITY;
    const isOver = () => usage.measured + usage.since + usage.arriving + bytes > tenantBytes;
    if (tenantBytes !== Number.POSITIVE_INFINITY) {
      if (usage.measuredAtMs === null) await this.#measure(tenant, usage);
      const ageMs = Date.now() - (usage.measuredAtMs ?? 0);
      const pauseMs = PAUSE_AFTER_MEASURING * usage.measuringTookMs;
      const mayMeasure = ageMs > Math.max(MEASURED_BEFORE_REFUSING_MS, pauseMs);
      if (isOver() && mayMeasure) await this.#measure(tenant, usage);
      else if (ageMs > MEASURE_EVERY_MS) this.#measure(tenant, usage).catch(() => {}); // the next request tries again
    }
    // No other code runs between this check and the reservation.
    if (isOver()) throw new StorageLimitError(tenantBytes);
    usage.arriving += bytes;
  }

  async #measure(tenant: string, usage: Usage): Promise<void> {
    usage.measuring ??= (async () => {
      const beganAtMs = Date.now();
      const before = usage.since;
      let measured = 0;
      for (const folder of payloadKeys.tenantFolders(tenant)) {
        measured += await this.store.measure(folder);
      }
      usage.measured = measured;
      usage.since -= before; // bytes that came during the measuring may be in the result or not
      usage.measuredAtMs = Date.now();
      usage.measuringTookMs = usage.measuredAtMs - beganAtMs;
    })().finally(() => {
      usage.measuring = null;
    });
    await usage.measuring;
  }

  async #requireDisk(bytes: number): Promise<void> {
    const { reserveBytes } = this.#limits;
    const nowMs = Date.now();
    if (nowMs - this.#lookedAtMs > LOOK_AT_DISK_EVERY_MS) {
      this.#lookedAtMs = nowMs;
      this.#freeBytes = await this.store.freeBytes();
    }
    this.#freeBytes -= bytes;
    if (this.#freeBytes >= reserveBytes) return;
    const detail = `less than ${reserveBytes} bytes of disk are free (BUZZER_STORAGE_RESERVE)`;
    throw new StorageError(`${detail}: inputs are not taken until there is room`, { isFull: true });
  }
}

async function* counted(
  body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  admit: (bytes: number) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    await admit(chunk.length);
    yield chunk;
  }
}
