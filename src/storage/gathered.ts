/** Pieces smaller than this are gathered: each piece costs a system call, however small it is. */
const SMALL_BYTES = 16 * 1024;

/** The same bytes in pieces that are not tiny. A client may send one byte at a time. */
export async function* gathered(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let buffer = Buffer.alloc(0);
  let length = 0;
  for await (const piece of body) {
    if (length === 0 && piece.length >= SMALL_BYTES) {
      yield piece;
      continue;
    }
    if (length + piece.length > buffer.length) {
      if (length > 0) yield buffer.subarray(0, length);
      buffer = Buffer.alloc(Math.max(4 * SMALL_BYTES, piece.length));
      length = 0;
    }
    buffer.set(piece, length);
    length += piece.length;
  }
  if (length > 0) yield buffer.subarray(0, length);
}
