/*
 * Finds the inputs and outputs in an .onnx file, which may be large, damaged or hostile. It walks through the
 * fields of the file (the wire format of protobuf: https://protobuf.dev/programming-guides/encoding/) and
 * passes over the weights without reading them. The event loop has a turn between two pieces of the file.
 */
import { type FileHandle, open } from 'node:fs/promises';

/** onnx.proto3 (onnx/onnx): the numbers of the fields that are read. */
const MODEL_GRAPH = 7;
const GRAPH = { initializer: 5, input: 11, output: 12 } as const;
const TENSOR_NAME = 8;

const PIECE_BYTES = 64 * 1024;
const MAX_VARINT_BYTES = 10;
const MAX_VALUES = 1000; // inputs and outputs together
const MAX_VALUE_BYTES = 64 * 1024; // its name, and a shape
const MAX_NAME_BYTES = 1024;
/** Real graphs have some ten thousand nodes and weights. Walking through so many fields takes a second. */
const MAX_FIELDS = 2_000_000;

/** What a graph says of itself. */
export interface GraphFile {
  /** Encoded ValueInfoProto messages. Up to IR version 3, weights are among the inputs. */
  readonly inputs: readonly Buffer[];
  readonly outputs: readonly Buffer[];
}

/** Reads the file at `path`; throws when it is not a whole ONNX file. */
export async function readGraphFile(path: string): Promise<GraphFile> {
  const inputs: Buffer[] = [];
  const outputs: Buffer[] = [];
  const read = async (fields: Fields, values: Buffer[], length: number) => {
    if (length > MAX_VALUE_BYTES) throw new Error('an input or output is larger than 64 KiB');
    if (inputs.length + outputs.length >= MAX_VALUES) {
      throw new Error(`it has more than ${MAX_VALUES} inputs and outputs`);
    }
    values.push(await fields.bytes(length));
  };
  await walkGraph(path, (fields, number, length) => {
    if (number === GRAPH.input) return read(fields, inputs, length);
    return number === GRAPH.output ? read(fields, outputs, length) : null;
  });
  return { inputs, outputs };
}

/** Those of `names` that are names of weights in the file at `path`. */
export async function findWeights(
  path: string,
  names: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  const read = async (fields: Fields, end: number) => {
    while (fields.position < end) {
      if (fields.isLow) await fields.read();
      const field = fields.next(end);
      if (field?.number === TENSOR_NAME && field.length <= MAX_NAME_BYTES) {
        const name = (await fields.bytes(field.length)).toString('utf8');
        if (names.has(name)) found.add(name);
      } else fields.skip(field?.length ?? 0);
    }
  };
  await walkGraph(path, (fields, number, length) => {
    return number === GRAPH.initializer ? read(fields, fields.position + length) : null;
  });
  return found;
}

/** Calls `take` for each field of the graph that has a length. It reads the field, or returns null. */
async function walkGraph(
  path: string,
  take: (fields: Fields, number: number, length: number) => Promise<void> | null,
): Promise<void> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const fields = new Fields(file);
    let graphEnd = 0; // a graph is being read up to here
    while (fields.position < size) {
      const isInGraph = fields.position < graphEnd;
      if (fields.isLow) await fields.read();
      const field = fields.next(isInGraph ? graphEnd : size);
      if (field === null) continue;
      const { number, length } = field;
      const taking = isInGraph ? take(fields, number, length) : null;
      if (taking !== null) await taking;
      else if (!isInGraph && number === MODEL_GRAPH) graphEnd = fields.position + length;
      else fields.skip(length);
    }
  } finally {
    await file.close();
  }
}

/** The fields of a message in a file, one after the other. */
class Fields {
  readonly #file: FileHandle;
  #piece = Buffer.alloc(0);
  #pieceStart = 0;
  #at = 0;
  #count = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** The offset in the file of what is read next. */
  get position(): number {
    return this.#pieceStart + this.#at;
  }

  /** True: the head of the next field may not be in the piece. Then `read` comes before `next`. */
  get isLow(): boolean {
    return this.#piece.length - this.#at < 2 * MAX_VARINT_BYTES;
  }

  /**
   * The next field of a message that ends at `end`. A field with a length (wire type 2) is returned, to be read
   * or skipped by the caller. Any other field is passed over, and the result is null.
   */
  next(end: number): { number: number; length: number } | null {
    if (++this.#count > MAX_FIELDS) throw new Error(`it has more than ${MAX_FIELDS} fields`);
    const tag = this.#varint();
    const kind = tag & 7;
    if (tag < 8 || kind === 3 || kind === 4 || kind > 5) throw new Error('it is no protobuf');
    const value = kind === 0 || kind === 2 ? this.#varint() : 0;
    const length = { 1: 8, 2: value, 5: 4 }[kind] ?? 0;
    if (this.position + length > end) throw new Error('it breaks off');
    if (kind === 2) return { number: Math.floor(tag / 8), length };
    this.skip(length);
    return null;
  }

  skip(length: number): void {
    this.#at += length; // perhaps beyond the piece: then the next one begins there
  }

  async bytes(length: number): Promise<Buffer> {
    if (this.#piece.length - this.#at < length) await this.read(length);
    if (this.#piece.length - this.#at < length) throw new Error('it breaks off');
    const bytes = Buffer.from(this.#piece.subarray(this.#at, this.#at + length));
    this.#at += length;
    return bytes;
  }

  #varint(): number {
    let value = 0;
    for (let index = 0; index < MAX_VARINT_BYTES; index++) {
      const byte = this.#piece[this.#at++];
      if (byte === undefined) throw new Error('it breaks off');
      value += (byte & 0x7f) * 2 ** (7 * index); // beyond 2^53 it only has to be large
      if (byte < 0x80) return value;
    }
    throw new Error('it is no protobuf');
  }

  /** Reads the piece that begins at the position. */
  async read(atLeast = PIECE_BYTES): Promise<void> {
    const start = this.position;
    const piece = Buffer.alloc(Math.max(PIECE_BYTES, atLeast));
    const { bytesRead } = await this.#file.read(piece, 0, piece.length, start);
    this.#piece = piece.subarray(0, bytesRead);
    this.#pieceStart = start;
    this.#at = 0;
  }
}
