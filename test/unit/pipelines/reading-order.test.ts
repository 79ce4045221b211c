import type { Line } from '../../../src/pipelines/shared/geometry.ts';
import { inReadingOrder } from '../../../src/pipelines/shared/reading-order.ts';

const line = (left: number, top: number, width = 80, height = 20): Line => ({
  x: left + width / 2,
  y: top + height / 2,
  width,
  height,
  angle: 0,
});
/** The same page, turned. */
const turned = ({ x, y, ...rest }: Line, angle: number): Line => ({
  ...rest,
  x: x * Math.cos(angle) - y * Math.sin(angle),
  y: x * Math.sin(angle) + y * Math.cos(angle),
  angle,
});
const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

test('lines of one row are read left to right, rows top to bottom', () => {
  const [a, b, c, d] = [line(0, 4), line(100, 0), line(0, 40), line(100, 44)] as const;

  expect(inReadingOrder([d, b, c, a])).toEqual([a, b, c, d]);
});

test('rows that touch stay rows of their own', () => {
  const rows = [line(50, 0), line(0, 19), line(20, 38)];

  expect(inReadingOrder(rows.toReversed())).toEqual(rows);
});

test.each([0, 0.15, -0.15])('two columns are read one after the other, turned by %p', (angle) => {
  const title = line(0, -60, 700);
  const left = times(6, (row) => line(0, row * 30, 320));
  const right = times(6, (row) => line(380, row * 30 + 4, 320));
  const expected = [title, ...left, ...right].map((each) => turned(each, angle));
  const mixed = expected.toSorted((a, b) => a.y - b.y || a.x - b.x);

  expect(inReadingOrder(mixed)).toEqual(expected);
});

test('a heading across two columns divides them', () => {
  const block = (top: number) => [
    ...times(5, (row) => line(0, top + row * 30, 320)),
    ...times(5, (row) => line(380, top + row * 30, 320)),
  ];
  const expected = [...block(0), line(0, 160, 700), ...block(200)];

  expect(inReadingOrder(expected.toReversed())).toEqual(expected);
});

test('a receipt is read row by row: what stands on the right is no column of prose', () => {
  const rows = times(8, (row) => [line(0, row * 30, 200), line(400, row * 30 + 2, 60)]).flat();

  expect(inReadingOrder(rows.toReversed())).toEqual(rows);
});
