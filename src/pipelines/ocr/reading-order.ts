import type { Box } from '../shared/image.ts';

/** Boxes whose middles lie in each other's height are one row, read left to right. */
export function inReadingOrder(boxes: readonly Box[]): Box[] {
  const rows: Box[][] = [];
  for (const box of boxes.toSorted((a, b) => middle(a) - middle(b))) {
    const row = rows.at(-1);
    const first = row?.[0];
    if (
      row !== undefined &&
      first !== undefined &&
      middle(box) < first.bottom &&
      middle(first) > box.top
    ) {
      row.push(box);
    } else {
      rows.push([box]);
    }
  }
  return rows.flatMap((row) => row.toSorted((a, b) => a.left - b.left));
}

const middle = (box: Box): number => (box.top + box.bottom) / 2;
