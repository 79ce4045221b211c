/*
 * The way of large bytes between a supervisor and its model process: a file in memory that both hold
 * open and that has no name any more, so that nothing is left of it when they are gone. Node's IPC
 * copies every byte several times and 64 KiB at a time; a lane takes one write and one read.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readSync, unlinkSync, writevSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where bytes lie in a lane. */
export interface LaneRef {
  readonly offset: number;
  readonly length: number;
}

/** Bytes in a message, or where they lie. */
export type Bytes = Uint8Array | LaneRef;

/** Fewer bytes are not worth two more system calls. */
const MIN_BYTES = 32 * 1024;
/** A lane that has grown beyond this gives its memory back. */
const MAX_KEPT_BYTES = 64 * 1024 ** 2;
const ALIGNMENT = 8;

const padded = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
const padding = new Uint8Array(ALIGNMENT);

/** A file in memory without a name; null where there is no place for it. */
function openNamelessFile(): number | null {
  for (const folder of ['/dev/shm', tmpdir()]) {
    const path = join(folder, `buzzer-${randomUUID()}`);
    try {
      const descriptor = openSync(path, 'wx+', 0o600);
      unlinkSync(path);
      return descriptor;
    } catch {
      // this folder offers no place; try the next one
    }
  }
  return null;
}

export class Lane {
  readonly #descriptor: number | null;
  #keptBytes = 0;

  /** Without a descriptor everything travels in the messages. */
  constructor(descriptor: number | null) {
    this.#descriptor = descriptor;
  }

  /** A new lane; `close` it. Where there is no place for one, everything travels in the messages. */
  static open(): Lane {
    return new Lane(openNamelessFile());
  }

  get isOpen(): boolean {
    return this.#descriptor !== null;
  }

  /** For `spawn`: how a process inherits it. */
  get stdio(): number | 'ignore' {
    return this.#descriptor ?? 'ignore';
  }

  /**
   * Writes all the bytes of one message, each given in pieces. Returns them as they are when they
   * are few, or do not fit.
   */
  put(all: readonly (readonly Uint8Array[])[]): readonly Bytes[] {
    const total = all.reduce((sum, pieces) => sum + padded(lengthOf(pieces)), 0);
    if (this.#descriptor === null || total < MIN_BYTES) return all.map(joined);
    try {
      if (this.#keptBytes > MAX_KEPT_BYTES) {
        ftruncateSync(this.#descriptor, 0);
        this.#keptBytes = 0;
      }
      this.#keptBytes = Math.max(total, this.#keptBytes);
      return this.#write(this.#descriptor, all, total);
    } catch {
      return all.map(joined); // no memory is left for the lane: the bytes travel in the message
    }
  }

  /** Reads what the other side has written with `put`. */
  take(bytes: readonly Bytes[]): readonly Uint8Array[] {
    const end = bytes.reduce((most, each) => Math.max(most, isRef(each) ? endOf(each) : 0), 0);
    if (end === 0 || this.#descriptor === null) return bytes as readonly Uint8Array[];
    const all = Buffer.allocUnsafeSlow(end);
    for (let read = 0; read < end;) {
      const count = readSync(this.#descriptor, all, read, end - read, read);
      if (count === 0) throw new Error('a lane holds less than was said');
      read += count;
    }
    return bytes.map((each) => (isRef(each) ? all.subarray(each.offset, endOf(each)) : each));
  }

  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
  }

  #write(
    descriptor: number,
    all: readonly (readonly Uint8Array[])[],
    total: number,
  ): readonly LaneRef[] {
    const buffers: Uint8Array[] = [];
    const refs: LaneRef[] = [];
    let offset = 0;
    for (const pieces of all) {
      const length = lengthOf(pieces);
      const gap = padded(length) - length;
      refs.push({ offset, length });
      buffers.push(...pieces, ...(gap === 0 ? [] : [padding.subarray(0, gap)]));
      offset += length + gap;
    }
    if (writevSync(descriptor, buffers, 0) !== total) throw new Error('the lane is full');
    return refs;
  }
}

const lengthOf = (pieces: readonly Uint8Array[]): number =>
  pieces.reduce((sum, { length }) => sum + length, 0);

const joined = (pieces: readonly Uint8Array[]): Uint8Array => {
  const [only] = pieces;
  return only !== undefined && pieces.length === 1 ? only : Buffer.concat(pieces);
};

const isRef = (bytes: Bytes): bytes is LaneRef => !('byteLength' in bytes);
const endOf = ({ offset, length }: LaneRef): number => offset + length;
