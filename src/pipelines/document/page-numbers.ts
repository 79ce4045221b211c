/* Which pages of a document are wanted: "1-20,25", or [[1, 20], 25]. */

/** First and last, from 1; the last is null: to the end. */
export type PageRange = readonly [first: number, last: number | null];

const MAX_RANGES = 100;
const RANGE = /^\s*(\d{1,9})?\s*(?:(-)\s*(\d{1,9})?\s*)?$/;

/** Reads "1-20,25", also "3-" and "-5". Null: that is not what it says. */
export function parseRanges(text: string): readonly PageRange[] | null {
  const parts = text.split(',', MAX_RANGES + 1);
  if (parts.length > MAX_RANGES) return null;
  const ranges = parts.map((part): PageRange | null => {
    const [, from, dash, to] = RANGE.exec(part) ?? [];
    if (from === undefined && to === undefined) return null;
    if (dash === undefined) return from === undefined ? null : checked(Number(from), Number(from));
    return checked(Number(from ?? 1), to === undefined ? null : Number(to));
  });
  return ranges.every((range) => range !== null) ? ranges : null;
}

export const checked = (first: number, last: number | null): PageRange | null =>
  first >= 1 && (last === null || last >= first) ? [first, last] : null;

/** The numbers of the wanted pages of a document with so many, in their order and each once; null: more than `most`. */
export function wantedPages(
  ranges: readonly PageRange[] | null,
  count: number,
  most: number,
): readonly number[] | null {
  const sorted = (ranges ?? [[1, null]]).toSorted(([a], [b]) => a - b);
  const numbers: number[] = [];
  let next = 1;
  for (const [first, last] of sorted) {
    const end = Math.min(count, last ?? count);
    for (next = Math.max(next, first); next <= end; next++) {
      if (numbers.length >= most) return null;
      numbers.push(next);
    }
  }
  return numbers;
}
