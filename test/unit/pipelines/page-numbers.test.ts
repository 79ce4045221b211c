import { parseRanges, wantedPages } from '../../../src/pipelines/document/page-numbers.ts';

test.each<[string, unknown]>([
  ['1', [[1, 1]]],
  [
    '1-20,25',
    [
      [1, 20],
      [25, 25],
    ],
  ],
  [
    ' 3 - 4 , 7-',
    [
      [3, 4],
      [7, null],
    ],
  ],
  ['-5', [[1, 5]]],
  ['', null],
  ['0', null],
  ['5-3', null],
  ['1,,2', null],
  ['-', null],
  ['one', null],
  ['1-2-3', null],
  ['1 2', null],
  ['1234567890', null],
  [Array.from({ length: 101 }, () => '1').join(','), null],
])('%j means %j', (text, ranges) => {
  expect(parseRanges(text)).toEqual(ranges);
});

test('each page comes once, in the order of the document, and not beyond its end', () => {
  expect(wantedPages(parseRanges('5-7,6-9,1'), 8, 100)).toEqual([1, 5, 6, 7, 8]);
  expect(wantedPages(null, 3, 100)).toEqual([1, 2, 3]);
  expect(wantedPages(parseRanges('9'), 3, 100)).toEqual([]);
});

test('more pages than are read are refused, however many the document claims', () => {
  expect(wantedPages(null, 1_000_000_000, 5)).toBeNull();
  expect(wantedPages(parseRanges('999999999'), 1_000_000_000, 5)).toEqual([999_999_999]);
});
