/*
 * The items of a batch are JSON Lines, which may be gigabytes. While they arrive, each line is looked at, and an index
 * is made: where every piece of about a megabyte begins, which item that is, and the hash of the piece. So a chunk
 * reads only the pieces that it needs, and sees when they are not what was stored.
 */
import { createHash } from 'node:crypto';
import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { jsonFault } from '../contract/json-fault.ts';
import { tooMuchIn } from '../contract/json-structure.ts';
import { invalidAt, type Refusal } from '../contract/refusal.ts';
import { gathered } from '../storage/gathered.ts';
import { CustomIds } from './custom-ids.ts';
import { isBlank, LineCutter, LineTooLongError } from './lines.ts';

/** A piece ends with the first line that ends behind so many bytes. */
const PIECE_BYTES = 1024 ** 2;
const MAX_CUSTOM_ID_CHARS = 256;
/** They count towards no other limit. */
const MAX_BLANKS = 10_000;

/** A piece of the lines: it begins with a line, and ends where the next one begins. */
export interface IndexedPiece {
  /** The number of its first item, from 0. */
  readonly item: number;
  readonly offset: number;
  /** Lowercase hex. */
  readonly sha256: string;
}

export interface ItemIndex {
  readonly items: number;
  readonly bytes: number;
  readonly pieces: readonly IndexedPiece[];
}

export const itemIndexSchema = z.strictObject({
  items: z.int().min(1),
  bytes: z.int().min(1),
  pieces: z.array(z.strictObject({ item: z.int(), offset: z.int(), sha256: z.string() })).min(1),
}) satisfies z.ZodType<ItemIndex>;

export interface ItemLimits {
  /** The items came as a list, whose elements are not called lines. */
  readonly isList?: boolean;
  /** Told of each item; may refuse it. */
  readonly onItem?: (item: Item, index: number) => void;
  /** The lines were written here, not by a client. */
  readonly isOurs?: boolean;
  readonly maxItems: number;
  readonly maxLineBytes: number;
}

/** Reads lines on their way into the store, and makes their index. */
export class ItemIndexer {
  readonly #limits: ItemLimits;
  readonly #ids = new CustomIds();
  readonly #cutter: LineCutter;
  readonly #pieces: IndexedPiece[] = [];
  #hash = createHash('sha256');
  #pieceAt = { item: 0, offset: 0 };
  #items = 0;
  #lines = 0;
  #blanks = 0;
  #bytes = 0;

  constructor(limits: ItemLimits) {
    this.#limits = limits;
    this.#cutter = new LineCutter(limits.maxLineBytes);
  }

  /** Passes the bytes on. Refuses, with the number of the line, what is not a batch. */
  async *through(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of gathered(body)) {
      this.#read(chunk);
      yield chunk;
    }
    const rest = this.#cutter.rest();
    if (rest.length > 0) this.#line(rest);
    this.#endPiece();
    if (this.#items === 0) throw invalidAt('/items', 'must have at least one item: it is empty');
  }

  /** The index, when all has passed. */
  get index(): ItemIndex {
    return { items: this.#items, bytes: this.#bytes, pieces: this.#pieces };
  }

  #read(chunk: Uint8Array): void {
    const lines = this.#cutter.cut(chunk);
    let hashed = 0;
    let at = 0;
    for (;;) {
      const { value: line, done } = this.#next(lines);
      if (done === true) break;
      at = chunk.indexOf(LINE_FEED, at) + 1; // the line ends there
      this.#line(line);
      if (this.#bytes + at - this.#pieceAt.offset < PIECE_BYTES) continue;
      this.#hash.update(chunk.subarray(hashed, at));
      hashed = at;
      this.#endPiece(this.#bytes + at);
    }
    this.#hash.update(chunk.subarray(hashed));
    this.#bytes += chunk.length;
  }

  #next(lines: Generator<Buffer>): IteratorResult<Buffer, unknown> {
    try {
      return lines.next();
    } catch (error) {
      if (!(error instanceof LineTooLongError)) throw error;
      const { maxLineBytes } = this.#limits;
      throw this.#refusal('', `has more than ${maxLineBytes} bytes (BUZZER_MAX_JSON)`, 1);
    }
  }

  #line(line: Buffer): void {
    this.#lines += 1;
    if (isBlank(line)) {
      this.#blanks += 1;
      if (this.#blanks <= MAX_BLANKS) return;
      throw invalidAt('/items', `has more than ${MAX_BLANKS} empty lines`);
    }
    const { maxItems } = this.#limits;
    if (this.#items >= maxItems) {
      const detail = `has more than ${maxItems} items (BUZZER_MAX_BATCH_ITEMS): send several batches`;
      throw invalidAt('/items', detail);
    }
    const item = this.#parse(line);
    if (!this.#ids.add(item.custom_id)) {
      const shown = JSON.stringify(item.custom_id.slice(0, 100));
      throw this.#refusal('/custom_id', `${shown} is the custom_id of an earlier item, too`);
    }
    this.#limits.onItem?.(item, this.#items);
    this.#items += 1;
  }

  #parse(line: Buffer): Item {
    try {
      if (!isUtf8(line)) throw new InvalidLineError('', 'is not UTF-8');
      const problem = tooMuchIn(line);
      if (problem !== null) throw new InvalidLineError('', problem);
      return parseItem(line, this.#limits.isOurs ?? false);
    } catch (error) {
      if (!(error instanceof InvalidLineError)) throw error;
      throw this.#refusal(error.member, error.message);
    }
  }

  #endPiece(end = this.#bytes): void {
    if (end > this.#pieceAt.offset) {
      this.#pieces.push({ ...this.#pieceAt, sha256: this.#hash.digest('hex') });
    }
    this.#hash = createHash('sha256');
    this.#pieceAt = { item: this.#items, offset: end };
  }

  #refusal(member: string, detail: string, ahead = 0): Refusal {
    const pointer = `/items/${this.#items}${member}`;
    const where = this.#limits.isList === true ? '' : `line ${this.#lines + ahead}: `;
    return invalidAt(pointer, `${where}${detail}`);
  }
}

const LINE_FEED = 0x0a;

/** One line of a batch. */
export interface Item {
  readonly custom_id: string;
  readonly input: unknown;
  /** Other options than those of the batch; absent: none. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** Why the item cannot be run, found when it was translated from another dialect; absent: it can be tried. */
  readonly refused?: string;
}

class InvalidLineError extends Error {
  override readonly name = 'InvalidLineError';
  /** Where in the line, as a JSON pointer; empty: the whole line. */
  readonly member: string;
  constructor(member: string, message: string) {
    super(message);
    this.member = member;
  }
}

/**
 * Throws `InvalidLineError`; lines that lie in the store have been parsed before. `isOurs`: the line was written here,
 * not by a client.
 */
export function parseItem(line: Buffer, isOurs = true): Item {
  const value = jsonOf(line);
  if (!isObject(value)) {
    throw new InvalidLineError('', 'must be an object {"custom_id": …, "input": …}');
  }
  const { custom_id: id, input, options, refused, ...others } = value;
  const [unknown] = Object.keys(!isOurs && refused !== undefined ? { refused } : others);
  if (unknown !== undefined) {
    const detail = 'is not known here: a line has custom_id, input and perhaps options';
    throw new InvalidLineError(`/${unknown.slice(0, 100)}`, detail);
  }
  if (typeof id !== 'string' || id === '' || id.length > MAX_CUSTOM_ID_CHARS) {
    const detail = `must be a text of 1 to ${MAX_CUSTOM_ID_CHARS} characters`;
    throw new InvalidLineError('/custom_id', id === undefined ? 'is missing' : detail);
  }
  if (typeof refused === 'string') return { custom_id: id, input: null, refused };
  if (input === undefined) throw new InvalidLineError('/input', 'is missing');
  if (options === undefined) return { custom_id: id, input };
  if (isObject(options)) return { custom_id: id, input, options };
  throw new InvalidLineError('/options', 'must be an object');
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function jsonOf(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString('utf8'));
  } catch (error) {
    throw new InvalidLineError('', `is not JSON: ${jsonFault(error)}`);
  }
}
