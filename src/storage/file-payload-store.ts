/*
 * Payloads as files below one folder. A payload is written to a temporary name, synced and renamed,
 * so that a reader or a crash sees it whole or not at all. Temporary files of a crashed process
 * are hidden from `list` and removed when the store is opened.
 */
import { randomBytes } from 'node:crypto';
import { constants, createReadStream, type Dirent } from 'node:fs';
import {
  link,
  lstat,
  open,
  opendir,
  readdir,
  realpath,
  rename,
  rm,
  stat,
  statfs,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { messageOf } from '../contract/failure.ts';
import type { Claim } from '../contract/payload.ts';
import { BodyCounter } from './body-counter.ts';
import { gathered } from './gathered.ts';
import { makeFolder } from '../disk/make-folder.ts';
import {
  isInRange,
  type KeyRange,
  PayloadNotFoundError,
  type PayloadStore,
  type Piece,
  type PutOptions,
  requireKey,
  SAFE_KEY,
  StorageError,
  type StoredEntry,
} from './payload-store.ts';

/** Hashing so much takes a millisecond or two, during which the event loop is blocked. */
const PIECE_BYTES = 1024 ** 2;
/** Looking at so many takes about a millisecond. */
const ENTRIES_AT_ONCE = 512;
/** Without O_NONBLOCK, opening a pipe that nobody writes to never returns. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK;
const STALE_TEMPORARY_MS = 24 * 3_600_000; // longer than any upload takes

type Written = Pick<Claim, 'bytes' | 'sha256'>;

export class FilePayloadStore implements PayloadStore {
  readonly #folder: string;
  readonly #incoming: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#incoming = join(folder, '.incoming');
  }

  /**
   * Opens (and makes) the store in `folder`. Several processes may share it. Throws `StorageError`, but
   * not when the disk is full: what is there can still be read and deleted.
   */
  static async open(folder: string): Promise<FilePayloadStore> {
    const store = new FilePayloadStore(folder);
    await store.check().catch((error: unknown) => {
      if (!(error instanceof StorageError && error.isFull)) throw error;
    });
    await store.removeHalfWritten(Date.now() - STALE_TEMPORARY_MS);
    return store;
  }

  async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options: PutOptions,
  ): Promise<Claim> {
    return await this.#write(key, body, options, async (temporary, path, written) => {
      await rename(temporary, path);
      return { key, ...written, media_type: options.mediaType };
    });
  }

  async create(key: string, body: Uint8Array, options: PutOptions): Promise<boolean> {
    return await this.#write(key, body, options, async (temporary, path) => {
      const isNew = await link(temporary, path).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code === 'EEXIST') return false;
          throw error;
        },
      );
      await rm(temporary);
      return isNew;
    });
  }

  /** Writes a temporary file and has `commit` give it its name; leaves nothing when that fails. */
  async #write<T>(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    { maxBytes }: PutOptions,
    commit: (temporary: string, path: string, written: Written) => Promise<T>,
  ): Promise<T> {
    const path = this.#path(key);
    const temporary = join(this.#incoming, randomBytes(12).toString('hex'));
    try {
      const written = await writeSynced(temporary, body, maxBytes);
      await makeFolder(dirname(path));
      return await commit(temporary, path, written);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {}); // the first error is thrown below
      throw isSystemError(error) ? storageError(`cannot store ${key}`, error) : error;
    }
  }

  async open(key: string, piece?: Piece): Promise<Readable> {
    const handle = await open(this.#path(key), READ).catch((error: unknown) => rethrow(error, key));
    const found = await handle.stat().catch(async (error: unknown) => {
      await handle.close();
      throw storageError(`cannot read ${key}`, error);
    });
    if (found.isFile()) {
      const range =
        piece === undefined ? {} : { start: piece.offset, end: piece.offset + piece.bytes - 1 };
      return failingAs(
        (cause) => storageError(`cannot read ${key}`, cause),
        createReadStream('', { fd: handle, ...range }),
      );
    }
    await handle.close();
    throw new PayloadNotFoundError(key); // a pipe or a folder that somebody else has made
  }

  /** Reads each folder piece by piece: a stranger may have put very many files there. */
  async *list(folder: string, range?: KeyRange): AsyncGenerator<string> {
    if (!(await this.#isWithin(this.#path(folder)))) return;
    const left = [folder];
    for (let parent = left.pop(); parent !== undefined; parent = left.pop()) {
      for await (const entry of entriesOf(this.#path(parent), parent)) {
        const key = `${parent}/${entry.name}`;
        if (!SAFE_KEY.test(key)) continue; // somebody else has put it there
        if (entry.isDirectory()) left.push(key);
        else if (entry.isFile() && isInRange(key, range)) yield key;
      }
    }
  }

  async *entries(folder: string): AsyncGenerator<StoredEntry> {
    for await (const key of this.list(folder)) {
      const found = await lstat(this.#path(key)).catch(() => null); // it may be gone by now
      if (found !== null) yield { key, bytes: found.size, modifiedAtMs: found.mtimeMs };
    }
  }

  async removeHalfWritten(beforeMs: number): Promise<number> {
    let removed = 0;
    for (const name of await readdir(this.#incoming).catch(() => [])) {
      const path = join(this.#incoming, name);
      const found = await stat(path).catch(() => null);
      if (found === null || found.mtimeMs >= beforeMs) continue;
      // Nobody needs these files. If one cannot be removed, the store works all the same.
      await rm(path, { force: true, recursive: true }).catch(() => {});
      removed += 1;
    }
    return removed;
  }

  /** Opening a file is cheap. */
  async prefetch(): Promise<void> {}

  pathOf(key: string): string {
    return this.#path(key);
  }

  async presign(): Promise<null> {
    return await Promise.resolve(null);
  }

  async delete(key: string): Promise<void> {
    if (!(await this.#isWithin(dirname(this.#path(key))))) return;
    await rm(this.#path(key), { recursive: true, force: true }).catch((error: unknown) => {
      const isNothing = isSystemError(error) && error.code === 'ENOTDIR'; // one of its parents is a file
      if (!isNothing) throw storageError(`cannot delete ${key}`, error);
    });
  }

  /** Reads one folder after the other, because there may be very many. */
  async measure(key: string): Promise<number> {
    let bytes = 0;
    const left = [this.#path(key)];
    for (let path = left.pop(); path !== undefined; path = left.pop()) {
      const found = await lstat(path).catch(() => null); // a file that is gone by now takes no room
      if (found?.isDirectory() !== true) bytes += found?.size ?? 0;
      else for (const name of await readdir(path).catch(() => [])) left.push(join(path, name));
    }
    return bytes;
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#folder).catch((error: unknown) => {
      throw storageError(`cannot use ${this.#folder}`, error);
    });
    return bavail * bsize;
  }

  async check(): Promise<void> {
    try {
      await makeFolder(this.#incoming);
      const probe = join(this.#incoming, `probe.${randomBytes(6).toString('hex')}`);
      await writeSynced(probe, Buffer.from('ok'), undefined);
      await rm(probe);
    } catch (error) {
      throw storageError(`cannot write to ${this.#folder}`, error);
    }
  }

  /**
   * Whether a folder lies in the store. A link in its place leads to a stranger's files, which are
   * neither listed nor removed. A folder that does not exist counts as lying in the store.
   */
  async #isWithin(path: string): Promise<boolean> {
    const real = await realpath(path).catch(() => null);
    return real === null || `${real}/`.startsWith(`${await realpath(this.#folder)}/`);
  }

  #path(key: string): string {
    requireKey(key);
    return join(this.#folder, key);
  }
}

/** The same stream, which fails with another error than the system's. */
function failingAs<T extends Readable>(errorOf: (cause: unknown) => Error, stream: T): T {
  const destroy = stream._destroy.bind(stream);
  stream._destroy = (error, callback) =>
    destroy(isSystemError(error) ? errorOf(error) : error, callback);
  return stream;
}

/** The entries of one folder; none when it does not exist. */
async function* entriesOf(path: string, key: string): AsyncGenerator<Dirent> {
  try {
    yield* await opendir(path, { bufferSize: ENTRIES_AT_ONCE });
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code !== 'ENOENT') throw storageError(`cannot list ${key}`, error);
  }
}

async function writeSynced(
  path: string,
  body: Uint8Array | AsyncIterable<Uint8Array>,
  maxBytes: number | undefined,
): Promise<Written> {
  const counter = new BodyCounter(maxBytes);
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const chunk of body instanceof Uint8Array ? [body] : gathered(body)) {
      for (let start = 0; start < chunk.length; start += PIECE_BYTES) {
        const piece = chunk.subarray(start, start + PIECE_BYTES);
        counter.add(piece);
        await file.writeFile(piece);
      }
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return counter.facts();
}

const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  typeof error === 'object' && error !== null && 'syscall' in error;

/** There is no such file, or a folder, a socket, or a link that leads nowhere. */
const NOTHING_TO_READ = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENXIO']);

function rethrow(error: unknown, key: string): never {
  if (isSystemError(error)) {
    if (NOTHING_TO_READ.has(error.code ?? '')) {
      throw new PayloadNotFoundError(key, { cause: error });
    }
    throw storageError(`cannot use ${key}`, error);
  }
  throw error;
}

const FULL_CODES = new Set(['ENOSPC', 'EDQUOT']);
const LASTING_CODES = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'ENOENT', 'ENOSYS']);

function storageError(what: string, cause: unknown): StorageError {
  const code = isSystemError(cause) ? (cause.code ?? '') : null;
  return new StorageError(`${what}: ${messageOf(cause)}`, {
    cause,
    isFull: code !== null && FULL_CODES.has(code),
    needsPerson: code === null || LASTING_CODES.has(code),
  });
}
