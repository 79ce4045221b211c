interface Cut {
  readonly bytes: Buffer;
  /** Nothing follows it. */
  readonly isLast: boolean;
}

/** The same bytes in pieces of exactly this size, of which only the last may be smaller, or empty when there is one. */
export async function* cutInto(
  size: number,
  body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): AsyncGenerator<Cut> {
  let begun = Buffer.allocUnsafe(size);
  let length = 0;
  for await (const chunk of body) {
    for (let from = 0; from < chunk.length;) {
      if (length === size) {
        yield { bytes: begun, isLast: false };
        begun = Buffer.allocUnsafe(size); // the one before may still be in use
        length = 0;
      }
      const taken = chunk.subarray(from, from + size - length);
      begun.set(taken, length);
      length += taken.length;
      from += taken.length;
    }
  }
  yield { bytes: begun.subarray(0, length), isLast: true };
}
