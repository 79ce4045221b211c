import { textInOrder, linesOf } from '../../../src/pipelines/document/page-text.ts';
import type { Box, Character } from '../../../src/pipelines/document/pdf-page.ts';
import { readWords } from '../../../src/pipelines/document/words.ts';

const PAGE = { width: 600, height: 800 };
const SIZE = 10;

interface Run {
  readonly text: string;
  readonly x: number;
  readonly y: number;
  /** How far one character stands from the next. */
  readonly step?: number;
  readonly size?: number;
  readonly quarters?: number;
}

/** Characters as PDFium tells them; `_` is a space that it has seen, and a gap. */
function* characters({
  text,
  x,
  y,
  step = 6,
  size = SIZE,
  quarters = 0,
}: Run): Generator<Character> {
  for (const [index, each] of Array.from(text).entries()) {
    const at = x + index * step;
    const upright: Box = [at, y, at + Math.min(step, 6), y + size];
    const box: Box = quarters === 0 ? upright : [PAGE.width - y - size, at, PAGE.width - y, at + 6];
    const isSpace = each === ' ' || each === '_';
    yield {
      text: isSpace ? ' ' : each,
      box,
      isGenerated: each === '_',
      isUnmapped: each === '\uFFFD',
      isHidden: false,
      quarters,
    };
  }
}

const all = function* (...runs: readonly Run[]): Generator<Character> {
  for (const run of runs) {
    yield* characters(run);
    yield {
      text: '\n',
      box: null,
      isGenerated: true,
      isUnmapped: false,
      isHidden: false,
      quarters: 0,
    };
  }
};

const wordsOf = (...runs: readonly Run[]) =>
  readWords(all(...runs), PAGE).words.map(({ text }) => text);
const textOf = (...runs: readonly Run[]) =>
  textInOrder(linesOf(readWords(all(...runs), PAGE).words)).text;

test('spaces part words, whether they are written or only seen', () => {
  expect(wordsOf({ text: 'two words', x: 10, y: 10 })).toEqual(['two', 'words']);
  expect(wordsOf({ text: 'without_written_spaces', x: 10, y: 10 })).toEqual([
    'without',
    'written',
    'spaces',
  ]);
});

test('what is spaced out stays together, and dots do not', () => {
  expect(wordsOf({ text: 'SPACED', x: 10, y: 10, step: 8 })).toEqual(['SPACED']);
  const dots = { text: '....', x: 70, y: 10, step: 9 };
  const joined = [...characters({ text: 'Contents', x: 10, y: 10 }), ...characters(dots)];
  const { words } = readWords(joined, PAGE);
  expect(words.map(({ text }) => text)).toEqual(['Contents', '.', '.', '.', '.']);
});

test('a superscript is a word of its own, a subscript is not', () => {
  const word = { text: 'word', x: 10, y: 10 };
  const small = (y: number) => ({ text: '3', x: 34, y, size: 6 });
  const read = (y: number) =>
    readWords([...characters(word), ...characters(small(y))], PAGE).words.map(({ text }) => text);

  expect(read(8)).toEqual(['word', '3']);
  expect(read(16)).toEqual(['word3']);
});

test('ligatures are letters, and unknown characters are counted', () => {
  expect(wordsOf({ text: '\uFB01ne', x: 10, y: 10 })).toEqual(['fine']);
  const asTwo = [
    ...characters({ text: 'f', x: 10, y: 10 }),
    ...characters({ text: 'in', x: 10, y: 10 }),
  ];
  expect(readWords(asTwo, PAGE).words.map(({ text }) => text)).toEqual(['fin']);
  const { facts } = readWords(all({ text: 'ab\uFFFD', x: 10, y: 10 }), PAGE);
  expect(facts).toEqual({ characters: 3, unmapped: 1, hidden: 0 });
});

test('the halves of a word that is parted at the end of a line are two words', () => {
  const halves = [
    ...characters({ text: 'docu-', x: 200, y: 10 }),
    ...characters({ text: 'ment', x: 10, y: 22 }),
  ];
  const { words } = readWords(halves, PAGE);
  expect(textInOrder(linesOf(words)).text).toBe('docu-\nment');
});

test('words outside of the page are left out', () => {
  expect(wordsOf({ text: 'gone', x: 700, y: 10 }, { text: 'here', x: 10, y: 10 })).toEqual([
    'here',
  ]);
});

test('lines are joined, cells are parted by a tab, paragraphs by an empty line', () => {
  const text = textOf(
    { text: 'First line', x: 10, y: 10 },
    { text: 'second line', x: 10, y: 22 },
    { text: 'Name', x: 10, y: 60 },
    { text: '42', x: 300, y: 60 },
  );
  expect(text).toBe('First line\nsecond line\n\nName\t42');
});

test('the order of the content does not matter for lines beside each other', () => {
  expect(textOf({ text: 'right', x: 300, y: 10 }, { text: 'left', x: 10, y: 10 })).toBe(
    'left\tright',
  );
});

test('text that goes down the page is read as such, behind what goes across it', () => {
  const across = { text: 'most of the text', x: 10, y: 100 };
  const down = { text: 'a stamp', x: 50, y: 10, quarters: 1 };
  const { lines } = textInOrder(linesOf(readWords(all(down, across), PAGE).words));

  expect(lines.map(({ text }) => text)).toEqual(['most of the text', 'a stamp']);
  expect(lines[1]?.box).toEqual([580, 50, 590, 92]);
});

test('right-to-left words follow each other from right to left', () => {
  const shalom = { text: '\u05DD\u05DC', x: 200, y: 10 };
  const olam = { text: '\u05E2\u05D5', x: 180, y: 10 };
  expect(textOf(shalom, olam)).toContain('\u05DD\u05DC');
  const order = textOf(shalom, olam).split(/\s/u);
  expect(order).toEqual(['\u05DD\u05DC', '\u05E2\u05D5']);
});
