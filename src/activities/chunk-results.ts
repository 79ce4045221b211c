/*
 * The results of a chunk while it runs. They go into the store piece by piece: when there are many, and about once a
 * second, so that the next attempt need not compute them again, and memory stays small.
 */
import {
  type ItemIdentity,
  type ItemOutcome,
  LINES_MEDIA_TYPE,
  resultLine,
} from '../batches/results.ts';
import type { ChunkSoFar } from '../contract/batch-messages.ts';
import type { Claim } from '../contract/payload.ts';
import type { PayloadStore } from '../storage/payload-store.ts';

const STORE_EVERY_MS = 1000;
const STORE_AT_BYTES = 4 * 1024 ** 2;

export interface ChunkResultsOptions {
  readonly store: PayloadStore;
  /** The key of the `count`th part of this attempt. */
  readonly partKey: (count: number) => string;
  /** Told what lies in the store, whenever that has changed. */
  readonly onStored: (done: ChunkSoFar) => void;
}

export class ChunkResults {
  readonly #options: ChunkResultsOptions;
  #stored: ChunkSoFar;
  #lines: Buffer[] = [];
  #bytes = 0;
  #added = { to: 0, succeeded: 0, failed: 0 };
  #storedAtMs = Date.now();
  #parts = 0;

  /** Goes on behind what an earlier attempt has stored. */
  constructor(before: ChunkSoFar, options: ChunkResultsOptions) {
    this.#options = options;
    this.#stored = before;
    this.#added = { to: before.to, succeeded: 0, failed: 0 };
  }

  /** What lies in the store. */
  get stored(): ChunkSoFar {
    return this.#stored;
  }

  /** The number of the next item. */
  get to(): number {
    return this.#added.to;
  }

  /** Adds the result of the next item. */
  add(item: ItemIdentity, outcome: ItemOutcome): void {
    const line = resultLine(item, outcome);
    this.#lines.push(line);
    this.#bytes += line.length;
    this.#added.to = item.index + 1;
    this.#added[outcome.status === 'succeeded' ? 'succeeded' : 'failed'] += 1;
  }

  /** Stores what was added, if it is time to. */
  async storeSoon(): Promise<void> {
    const isTime = Date.now() - this.#storedAtMs >= STORE_EVERY_MS;
    if (isTime || this.#bytes >= STORE_AT_BYTES) await this.store();
  }

  /** Stores what was added. */
  async store(): Promise<void> {
    const { store, partKey, onStored } = this.#options;
    this.#storedAtMs = Date.now();
    if (this.#lines.length === 0) return;
    this.#parts += 1;
    const body = Buffer.concat(this.#lines);
    const part: Claim = await store.put(partKey(this.#parts), body, {
      mediaType: LINES_MEDIA_TYPE,
    });
    const { to, succeeded, failed } = this.#added;
    const { parts, counts } = this.#stored;
    this.#stored = {
      to,
      parts: [...parts, part],
      counts: { succeeded: counts.succeeded + succeeded, failed: counts.failed + failed },
    };
    this.#lines = [];
    this.#bytes = 0;
    this.#added = { to, succeeded: 0, failed: 0 };
    onStored(this.#stored);
  }
}
