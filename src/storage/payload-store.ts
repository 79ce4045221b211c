import type { Readable } from 'node:stream';
import type { Claim } from '../contract/payload.ts';

export interface PutOptions {
  readonly mediaType: string;
  /** More bytes than this end the upload with `PayloadTooLargeError`; nothing is left behind. */
  readonly maxBytes?: number;
}

/** So many bytes of a payload, from an offset on. */
export interface Piece {
  readonly offset: number;
  /** At least 1. */
  readonly bytes: number;
}

/** A payload in a list. */
export interface StoredEntry {
  readonly key: string;
  readonly bytes: number;
  /** Milliseconds since the epoch. */
  readonly modifiedAtMs: number;
}

/** Keys from one to another, both included, by the order of their characters. */
export interface KeyRange {
  readonly from: string;
  readonly to: string;
}

/** Whether a key lies in a range; without one, it does. */
export const isInRange = (key: string, range: KeyRange | undefined): boolean =>
  range === undefined || (key >= range.from && key <= range.to);

/** What a client may do with a URL that the store has signed. */
export type PresignedRequest =
  | { readonly method: 'GET'; readonly mediaType: string }
  /** A payload of exactly so many bytes. */
  | { readonly method: 'PUT'; readonly bytes: number };

export interface PresignedUrl {
  readonly url: string;
  readonly expiresAtMs: number;
}

/**
 * Keeps the bytes that do not belong into a workflow history. Keys are relative paths of safe
 * characters. A payload is there whole or not at all, also when the process dies while writing.
 */
export interface PayloadStore {
  /** Stores a payload, replacing one of the same key, and returns the claim on it. */
  put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options: PutOptions,
  ): Promise<Claim>;
  /**
   * Stores a payload unless the key is taken; returns whether it did. Of several that try at
   * once, one succeeds.
   */
  create(key: string, body: Uint8Array, options: PutOptions): Promise<boolean>;
  /**
   * The payload, or a piece of it, as a stream; throws `PayloadNotFoundError` before the first byte. What lies behind
   * the end of the payload is left out.
   */
  open(key: string, piece?: Piece): Promise<Readable>;
  /**
   * The keys below a key that is a folder, in no order; none when there is no such folder. With a range, only those
   * in it.
   */
  list(folder: string, range?: KeyRange): AsyncIterable<string>;
  /**
   * The same with sizes and ages. What belongs to a folder comes together. A store that has an order begins behind the
   * key `after`; any other begins anew.
   */
  entries(folder: string, after: string | null): AsyncIterable<StoredEntry>;
  /** Removes what uploads that broke off before that time have left behind; returns how much there was. */
  removeHalfWritten(beforeMs: number): Promise<number>;
  /** Says that these keys of one folder are going to be opened, for a store that is far away. */
  prefetch(keys: readonly string[]): Promise<void>;
  /** Where a payload lies as a file that only the store may change; null: the store keeps no files. */
  pathOf(key: string): string | null;
  /**
   * A URL with which a client reads or writes one payload at the store itself, without us; null: the store has none for
   * that. Nothing is checked on that way.
   */
  presign(key: string, wanted: PresignedRequest): Promise<PresignedUrl | null>;
  /** Removes one payload or everything below a key; no error when there is nothing. */
  delete(key: string): Promise<void>;
  /** How many bytes one payload has, or everything below a key; 0 when there is nothing. */
  measure(key: string): Promise<number>;
  /** How many more bytes the store could take. */
  freeBytes(): Promise<number>;
  /** Throws when the store cannot be written. */
  check(): Promise<void>;
}

/** What a key may be: a relative path of safe names, none of which begins with a full stop. */
export const SAFE_KEY = /^[A-Za-z0-9_-][A-Za-z0-9._@-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._@-]*)*$/;

/** Throws a `TypeError` when it is no key: that is a mistake of ours. */
export function requireKey(key: string): void {
  if (!SAFE_KEY.test(key)) throw new TypeError(`not a payload key: ${JSON.stringify(key)}`);
}

export class PayloadNotFoundError extends Error {
  override readonly name = 'PayloadNotFoundError';
  constructor(key: string, options?: ErrorOptions) {
    super(`no payload ${key} in the store`, options);
  }
}

export class PayloadTooLargeError extends Error {
  override readonly name = 'PayloadTooLargeError';
  readonly maxBytes: number;
  constructor(maxBytes: number) {
    super(`the payload is larger than ${maxBytes} bytes`);
    this.maxBytes = maxBytes;
  }
}

/** The bytes in the store are not those that were stored: they were changed, cut or extended since. */
export class PayloadCorruptError extends Error {
  override readonly name = 'PayloadCorruptError';
  constructor(key: string, what: string) {
    super(`the payload ${key} is damaged: ${what}`);
  }
}

/** Whether a payload is gone, or not what was stored: reading it again cannot help. */
export const isPayloadLost = (error: unknown): boolean =>
  error instanceof PayloadNotFoundError || error instanceof PayloadCorruptError;

/** The tenant has stored as much as it may. */
export class StorageLimitError extends Error {
  override readonly name = 'StorageLimitError';
  constructor(maxBytes: number) {
    const advice = 'delete predictions that are no longer needed, or wait until they expire';
    super(`the payloads of your predictions may take ${maxBytes} bytes together: ${advice}`);
  }
}

/** The store itself failed: disk full, no permission, no connection. */
export class StorageError extends Error {
  override readonly name = 'StorageError';
  /** The disk is full. Reading and deleting still work. */
  readonly isFull: boolean;
  /** Only a person can repair it, by changing the folder or its permissions. */
  readonly needsPerson: boolean;
  constructor(
    message: string,
    options: ErrorOptions & { readonly isFull?: boolean; readonly needsPerson?: boolean } = {},
  ) {
    super(message, options);
    this.isFull = options.isFull ?? false;
    this.needsPerson = options.needsPerson ?? false;
  }
}
