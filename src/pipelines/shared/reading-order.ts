/*
 * The order in which lines are read: columns of prose one after the other, everything else (and with
 * it tables and receipts) row by row.
 */
import { type Line, median } from './geometry.ts';

const MIN_ROWS = 4; // fewer rows beside each other are no columns
const MIN_PROSE_WIDTH = 6; // heights of the median row of a column: prices and cells are shorter
const MIN_PROSE_FILL = 0.6; // of its column's width, that the median row fills
const MAX_CROSSING = 0.25; // titles across both columns are few

/** A line in the page's own frame: as if the page were not turned. */
interface Placed<L> {
  readonly line: L;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly middle: number;
}

/** The rows in their order, each from left to right. Outside of columns, a row is what stands beside each other. */
export function rowsInReadingOrder<L extends Line>(lines: readonly L[]): readonly (readonly L[])[] {
  const angle = median(lines.map((line) => line.angle));
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const placed = lines.map((line): Placed<L> => {
    const [across, middle] = [line.x * cos + line.y * sin, line.y * cos - line.x * sin];
    return {
      line,
      middle,
      left: across - line.width / 2,
      right: across + line.width / 2,
      top: middle - line.height / 2,
      bottom: middle + line.height / 2,
    };
  });
  return ordered(placed).map((row) => row.map(({ line }) => line));
}

/** The lines in their order. */
export const inReadingOrder = <L extends Line>(lines: readonly L[]): readonly L[] =>
  rowsInReadingOrder(lines).flat();

/** Between two lines that cross the gutter its left side is read, then its right one. */
function ordered<L>(lines: readonly Placed<L>[]): readonly (readonly Placed<L>[])[] {
  const gutter = findGutter(lines);
  if (gutter === null) return rowsOf(lines);
  const crossing = gutter.crossing.toSorted((a, b) => a.middle - b.middle);
  const result: (readonly Placed<L>[])[] = [];
  let from = Number.NEGATIVE_INFINITY;
  for (const next of [...crossing, null]) {
    const to = next?.middle ?? Number.POSITIVE_INFINITY;
    const isBetween = ({ middle }: Placed<L>) => middle >= from && middle < to;
    result.push(...ordered(gutter.left.filter(isBetween)));
    result.push(...ordered(gutter.right.filter(isBetween)));
    if (next !== null) result.push([next]);
    from = to;
  }
  return result;
}

interface Gutter<L> {
  readonly left: readonly Placed<L>[];
  readonly right: readonly Placed<L>[];
  readonly crossing: readonly Placed<L>[];
}

/** Before the left edge of which line do the fewest others cross, with prose on either side? */
function findGutter<L>(lines: readonly Placed<L>[]): Gutter<L> | null {
  const slack = median(lines.map(({ top, bottom }) => bottom - top)) / 2; // lines are grown
  let best: Gutter<L> | null = null;
  for (const { left: x } of lines) {
    const gutter: Gutter<L> = {
      left: lines.filter(({ right }) => right < x + slack),
      right: lines.filter(({ left, right }) => right >= x + slack && left > x - slack),
      crossing: lines.filter(({ left, right }) => right >= x + slack && left <= x - slack),
    };
    const most = best?.crossing.length ?? lines.length * MAX_CROSSING;
    if (gutter.crossing.length >= most) continue;
    if (isProse(gutter.left) && isProse(gutter.right)) best = gutter;
  }
  return best;
}

function isProse(lines: readonly Placed<unknown>[]): boolean {
  const rows = rowsOf(lines);
  if (rows.length < MIN_ROWS) return false;
  const textWidth = median(
    rows.map((row) => row.reduce((sum, { left, right }) => sum + right - left, 0)),
  );
  const height = median(lines.map(({ top, bottom }) => bottom - top));
  const columnWidth =
    Math.max(...lines.map(({ right }) => right)) - Math.min(...lines.map(({ left }) => left));
  return textWidth > MIN_PROSE_WIDTH * height && textWidth > MIN_PROSE_FILL * columnWidth;
}

/** Lines whose middles lie in each other's height are one row, read left to right. */
function rowsOf<L>(lines: readonly Placed<L>[]): readonly (readonly Placed<L>[])[] {
  const rows: Placed<L>[][] = [];
  for (const line of lines.toSorted((a, b) => a.middle - b.middle)) {
    const row = rows.at(-1);
    const first = row?.[0];
    const isBeside = first !== undefined && line.middle < first.bottom && first.middle > line.top;
    if (row !== undefined && isBeside) row.push(line);
    else rows.push([line]);
  }
  return rows.map((row) => row.toSorted((a, b) => a.left - b.left));
}
