import type { Readable } from 'node:stream';
import type { Claim } from '../contract/payload.ts';
import type {
  KeyRange,
  PayloadStore,
  Piece,
  PresignedRequest,
  PresignedUrl,
  PutOptions,
  StoredEntry,
} from './payload-store.ts';

/** A payload store that asks another one for everything; what is done otherwise is overridden. */
export class ForwardingPayloadStore implements PayloadStore {
  protected readonly store: PayloadStore;

  constructor(store: PayloadStore) {
    this.store = store;
  }

  async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options: PutOptions,
  ): Promise<Claim> {
    return await this.store.put(key, body, options);
  }

  async create(key: string, body: Uint8Array, options: PutOptions): Promise<boolean> {
    return await this.store.create(key, body, options);
  }

  async open(key: string, piece?: Piece): Promise<Readable> {
    return await this.store.open(key, piece);
  }

  list(folder: string, range?: KeyRange): AsyncIterable<string> {
    return this.store.list(folder, range);
  }

  entries(folder: string, after: string | null): AsyncIterable<StoredEntry> {
    return this.store.entries(folder, after);
  }

  async removeHalfWritten(beforeMs: number): Promise<number> {
    return await this.store.removeHalfWritten(beforeMs);
  }

  async prefetch(keys: readonly string[]): Promise<void> {
    await this.store.prefetch(keys);
  }

  pathOf(key: string): string | null {
    return this.store.pathOf(key);
  }

  async presign(key: string, wanted: PresignedRequest): Promise<PresignedUrl | null> {
    return await this.store.presign(key, wanted);
  }

  async delete(key: string): Promise<void> {
    await this.store.delete(key);
  }

  async measure(key: string): Promise<number> {
    return await this.store.measure(key);
  }

  async freeBytes(): Promise<number> {
    return await this.store.freeBytes();
  }

  async check(): Promise<void> {
    await this.store.check();
  }
}
