/*
 * Payloads as objects of an S3 bucket, below a prefix. An object is there whole or not at all; an upload that breaks off
 * is aborted, and what a crashed process leaves of one is removed by the bucket's lifecycle rule or the sweep.
 */
import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadBucketCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
  type ServerSideEncryption,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import type { Claim } from '../contract/payload.ts';
import { BodyCounter } from './body-counter.ts';
import { gathered } from './gathered.ts';
import {
  isInRange,
  type KeyRange,
  PayloadNotFoundError,
  type PayloadStore,
  type Piece,
  type PresignedRequest,
  type PresignedUrl,
  PayloadTooLargeError,
  type PutOptions,
  requireKey,
  SAFE_KEY,
  type StoredEntry,
} from './payload-store.ts';
import { S3Presigner } from './s3-presigner.ts';
import { isMissing, statusOf, storageError } from './s3-errors.ts';

export interface S3Settings {
  readonly bucket: string;
  /** What every key begins with; empty, or without slashes at its ends. */
  readonly prefix: string;
  /** Buckets are part of the path instead of the host name, as most servers other than AWS need it. */
  readonly isPathStyle: boolean;
  /** Null: what the bucket says. */
  readonly encryption: 'AES256' | 'aws:kms' | null;
  /** Clients are sent to the bucket itself for large payloads. */
  readonly redirects: boolean;
}

const CONNECT_TIMEOUT_MS = 3000;
/** A server does not answer when nothing moves on the connection for so long. */
const SILENCE_MS = 5000;
const ATTEMPTS = 2;
const SOCKETS = 64;
const PART_BYTES = 8 * 1024 ** 2;
const PARTS_AT_ONCE = 2;
/** S3 deletes at most so many objects at once. */
const DELETED_AT_ONCE = 1000;

export class S3PayloadStore implements PayloadStore {
  readonly #client: S3Client;
  readonly #presigner: S3Presigner;
  readonly #settings: S3Settings;

  private constructor(configuration: S3ClientConfig, settings: S3Settings) {
    this.#client = new S3Client(configuration);
    this.#presigner = new S3Presigner(configuration);
    this.#settings = settings;
  }

  /**
   * Opens the store. Endpoint, region and credentials are those of the standard AWS environment; `more` is for tests.
   * Throws `StorageError` when the bucket is not there, or may not be used.
   */
  static async open(settings: S3Settings, more: S3ClientConfig = {}): Promise<S3PayloadStore> {
    const configuration: S3ClientConfig = {
      forcePathStyle: settings.isPathStyle,
      maxAttempts: ATTEMPTS,
      requestHandler: {
        connectionTimeout: CONNECT_TIMEOUT_MS,
        socketTimeout: SILENCE_MS,
        httpAgent: { maxSockets: SOCKETS },
        httpsAgent: { maxSockets: SOCKETS },
      },
      ...more,
    };
    const store = new S3PayloadStore(configuration, settings);
    await store.check();
    return store;
  }

  async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    { mediaType, maxBytes }: PutOptions,
  ): Promise<Claim> {
    requireKey(key);
    const counter = new BodyCounter(maxBytes);
    let bodyError: unknown; // the SDK wraps what the body has thrown
    const counted = async function* (chunks: AsyncIterable<Uint8Array>) {
      try {
        for await (const chunk of chunks) {
          counter.add(chunk);
          yield chunk;
        }
      } catch (error) {
        bodyError = error;
        throw error;
      }
    };
    const object = { ...this.#object(key), ContentType: mediaType };
    await this.#orThrow(`cannot store ${key}`, async () => {
      if (body instanceof Uint8Array) {
        counter.add(body);
        await this.#client.send(new PutObjectCommand({ ...object, Body: body }));
        return;
      }
      const upload = new Upload({
        client: this.#client,
        params: { ...object, Body: Readable.from(counted(gathered(body)), { objectMode: false }) },
        partSize: PART_BYTES,
        queueSize: PARTS_AT_ONCE,
      });
      await upload.done();
    }).catch((error: unknown) => {
      throw bodyError ?? error;
    });
    return { key, ...counter.facts(), media_type: mediaType };
  }

  async create(key: string, body: Uint8Array, { mediaType }: PutOptions): Promise<boolean> {
    requireKey(key);
    const command = new PutObjectCommand({
      ...this.#object(key),
      Body: body,
      ContentType: mediaType,
      IfNoneMatch: '*',
    });
    for (;;) {
      try {
        await this.#client.send(command);
        return true;
      } catch (error) {
        const status = statusOf(error);
        if (status === 412) return false;
        if (status !== 409) throw storageError(`cannot store ${key}`, error); // 409: another is at it right now
      }
    }
  }

  async open(key: string, piece?: Piece): Promise<Readable> {
    const range =
      piece === undefined
        ? {}
        : { Range: `bytes=${piece.offset}-${piece.offset + piece.bytes - 1}` };
    const body = await this.#orThrow(`cannot read ${key}`, async () => {
      const command = new GetObjectCommand({ ...this.#named(key), ...range });
      return await this.#client.send(command).then(
        ({ Body: found }) => found,
        (error: unknown) => {
          if (isMissing(error)) throw new PayloadNotFoundError(key, { cause: error });
          if (statusOf(error) === 416) return Readable.from([]); // it ends before the piece begins
          throw error;
        },
      );
    });
    return Readable.from(readable(body as Readable, key), { objectMode: false });
  }

  async *list(folder: string, range?: KeyRange): AsyncGenerator<string> {
    for await (const { key } of this.#below(`${folder}/`, range?.from)) {
      if (range !== undefined && key > range.to) return;
      if (SAFE_KEY.test(key) && isInRange(key, range)) yield key;
    }
  }

  async *entries(folder: string, after: string | null): AsyncGenerator<StoredEntry> {
    for await (const entry of this.#below(`${folder}/`, after ?? undefined)) {
      if (SAFE_KEY.test(entry.key) && (after === null || entry.key > after)) yield entry;
    }
  }

  async removeHalfWritten(beforeMs: number): Promise<number> {
    const { bucket } = this.#settings;
    let removed = 0;
    let marker: { readonly KeyMarker?: string; readonly UploadIdMarker?: string } | null = {};
    while (marker !== null) {
      const page: ListMultipartUploadsCommandOutput = await this.#orThrow(
        'cannot list uploads',
        async () =>
          await this.#client.send(
            new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: this.#own, ...marker }),
          ),
      );
      for (const { Key: key = '', UploadId: id = '', Initiated: begun } of page.Uploads ?? []) {
        if (begun === undefined || begun.getTime() >= beforeMs) continue;
        await this.#orThrow(`cannot abort the upload of ${key}`, async () => {
          const abort = { Bucket: bucket, Key: key, UploadId: id };
          await this.#client.send(new AbortMultipartUploadCommand(abort));
        });
        removed += 1;
      }
      const { NextKeyMarker: next, NextUploadIdMarker: nextId } = page;
      const isLast = page.IsTruncated !== true || next === undefined;
      marker = isLast
        ? null
        : { KeyMarker: next, ...(nextId === undefined ? {} : { UploadIdMarker: nextId }) };
    }
    return removed;
  }

  /** What is far away is remembered by RememberingPayloadStore. */
  async prefetch(): Promise<void> {}

  pathOf(): null {
    return null;
  }

  async presign(key: string, wanted: PresignedRequest): Promise<PresignedUrl | null> {
    if (wanted.method === 'GET' && !this.#settings.redirects) return null;
    return await this.#orThrow(
      `cannot sign a URL of ${key}`,
      async () => await this.#presigner.sign(this.#named(key), wanted),
    );
  }

  async delete(key: string): Promise<void> {
    await this.#orThrow(`cannot delete ${key}`, async () => {
      await this.#client.send(new DeleteObjectCommand(this.#named(key)));
      let batch: string[] = [];
      for await (const { key: each } of this.#below(`${key}/`)) {
        batch.push(each);
        if (batch.length < DELETED_AT_ONCE) continue;
        await this.#deleteAll(batch);
        batch = [];
      }
      await this.#deleteAll(batch);
    });
  }

  async measure(key: string): Promise<number> {
    let bytes = 0;
    for await (const each of this.#below(key)) {
      if (each.key === key || each.key.startsWith(`${key}/`)) bytes += each.bytes;
    }
    return bytes;
  }

  /** A bucket has no end. */
  async freeBytes(): Promise<number> {
    return await Promise.resolve(Number.POSITIVE_INFINITY);
  }

  async check(): Promise<void> {
    const { bucket } = this.#settings;
    await this.#orThrow(`cannot use the bucket ${bucket}`, async () => {
      await this.#client.send(new HeadBucketCommand({ Bucket: bucket }));
      const probe = { ...this.#object('probe'), Body: 'ok', ContentType: 'text/plain' };
      await this.#client.send(new PutObjectCommand(probe));
    });
  }

  /** Every object whose key begins so, in S3's order, from about `from` on. */
  async *#below(start: string, from?: string): AsyncGenerator<StoredEntry> {
    const { bucket } = this.#settings;
    const own = this.#own;
    let token: string | undefined;
    do {
      const page = await this.#orThrow(`cannot list ${start}`, async () => {
        return await this.#client.send(
          new ListObjectsV2Command({
            Bucket: bucket,
            Prefix: own + start,
            // The object at `from` itself comes too when S3 begins behind a key that is a little smaller.
            ...(from === undefined ? {} : { StartAfter: own + from.slice(0, -1) }),
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
        );
      });
      for (const { Key: key = '', Size: bytes = 0, LastModified: at } of page.Contents ?? []) {
        yield { key: key.slice(own.length), bytes, modifiedAtMs: at?.getTime() ?? Date.now() };
      }
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async #deleteAll(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    const { Errors: errors = [] } = await this.#client.send(
      new DeleteObjectsCommand({
        Bucket: this.#settings.bucket,
        Delete: { Objects: keys.map((key) => ({ Key: this.#named(key).Key })), Quiet: true },
      }),
    );
    const [first] = errors;
    if (first !== undefined) throw new Error(`${first.Code ?? ''}: ${first.Message ?? ''}`);
  }

  /** What our keys begin with. */
  get #own(): string {
    const { prefix } = this.#settings;
    return prefix === '' ? '' : `${prefix}/`;
  }

  #named(key: string) {
    return { Bucket: this.#settings.bucket, Key: this.#own + key };
  }

  #object(key: string) {
    const { encryption } = this.#settings;
    const encrypted: { ServerSideEncryption?: ServerSideEncryption } =
      encryption === null ? {} : { ServerSideEncryption: encryption };
    return { ...this.#named(key), ...encrypted };
  }

  async #orThrow<T>(what: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      const isOurs = error instanceof PayloadNotFoundError || error instanceof PayloadTooLargeError;
      throw isOurs ? error : storageError(what, error);
    }
  }
}

/** The bytes of an object; a connection that breaks is the store's failure. */
async function* readable(body: Readable, key: string): AsyncGenerator<Uint8Array> {
  try {
    yield* body as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw storageError(`cannot read ${key}`, error);
  }
}
