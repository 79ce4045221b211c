/* JSON Lines (https://jsonlines.org): cutting bytes into lines, which may end with LF or CRLF and may be empty. */

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/** A line is longer than it may be. */
export class LineTooLongError extends Error {
  override readonly name = 'LineTooLongError';
}

/** Cuts a stream into lines. */
export class LineCutter {
  readonly #maxBytes: number;
  /** The beginning of a line whose end has yet to come; it grows by doubling. */
  #begun = Buffer.alloc(0);
  #begunBytes = 0;
  /** Only at the very beginning may there be a byte order mark. */
  #isFirst: boolean;

  /** Lines of more bytes are refused as soon as they are seen to be so. `isFirst`: a text begins here. */
  constructor(maxBytes: number, isFirst = true) {
    this.#maxBytes = maxBytes;
    this.#isFirst = isFirst;
  }

  /** The lines that end in `chunk`, without their ends. Throws `LineTooLongError`. */
  *cut(chunk: Uint8Array): Generator<Buffer> {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    for (let end = bytes.indexOf(LINE_FEED); end !== -1; end = bytes.indexOf(LINE_FEED, start)) {
      const line = this.#completed(bytes.subarray(start, end));
      start = end + 1;
      yield this.#plain(line);
    }
    if (start < bytes.length) this.#keep(bytes.subarray(start));
  }

  /** What follows the last line end; empty when nothing does. */
  rest(): Buffer {
    return this.#plain(this.#completed(Buffer.alloc(0)));
  }

  #completed(end: Buffer): Buffer {
    if (this.#begunBytes === 0) {
      if (end.length > this.#maxBytes) throw new LineTooLongError();
      return end;
    }
    this.#keep(end);
    const line = Buffer.from(this.#begun.subarray(0, this.#begunBytes));
    this.#begunBytes = 0;
    return line;
  }

  #keep(piece: Buffer): void {
    const length = this.#begunBytes + piece.length;
    if (length > this.#maxBytes) throw new LineTooLongError();
    if (length > this.#begun.length) {
      const larger = Buffer.alloc(Math.max(2 * this.#begun.length, length));
      this.#begun.copy(larger, 0, 0, this.#begunBytes);
      this.#begun = larger;
    }
    piece.copy(this.#begun, this.#begunBytes);
    this.#begunBytes = length;
  }

  /** Without a byte order mark and a carriage return. */
  #plain(line: Buffer): Buffer {
    const isMarked = this.#isFirst && line.subarray(0, 3).equals(BYTE_ORDER_MARK);
    this.#isFirst = false;
    const from = isMarked ? BYTE_ORDER_MARK.length : 0;
    return line.subarray(from, line.at(-1) === CARRIAGE_RETURN ? -1 : undefined);
  }
}

/** Whether a line holds nothing but blanks: such lines count for nothing. */
export function isBlank(line: Buffer): boolean {
  for (const byte of line) if (byte !== 0x20 && byte !== 0x09) return false;
  return true;
}
