import { inReadingOrder } from '../../../src/pipelines/ocr/reading-order.ts';

const box = (left: number, top: number) => ({ left, top, right: left + 80, bottom: top + 20 });

test('boxes of one row are read left to right, rows top to bottom', () => {
  const [a, b, c, d] = [box(0, 4), box(100, 0), box(0, 40), box(100, 44)] as const;

  expect(inReadingOrder([d, b, c, a])).toEqual([a, b, c, d]);
});

test('rows that touch stay rows of their own', () => {
  const rows = [box(50, 0), box(0, 19), box(20, 38)];

  expect(inReadingOrder(rows.toReversed())).toEqual(rows);
});
