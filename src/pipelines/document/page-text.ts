/*
 * Words → lines → the text of a page in reading order. What was read by OCR goes the same way from its lines on.
 */
import type { Line } from '../shared/geometry.ts';
import { rowsInReadingOrder } from '../shared/reading-order.ts';
import type { Box } from './pdf-page.ts';
import type { DocumentLine, DocumentWord } from './schema.ts';
import { around, isRightToLeft, turned, type Word } from './words.ts';

/** Words further apart than this share of their line's height are of two lines, such as cells of a table. */
const MAX_GAP = 1;
/** Two words are of one line when they share at least so much of the lower one's height. */
const MIN_SHARED_HEIGHT = 0.5;
/** More room between two lines than this share of their height is the end of a paragraph. */
const PARAGRAPH_GAP = 0.6;

/** Words that follow each other on a line. */
export interface TextLine {
  readonly words: readonly DocumentWord[];
  readonly box: Box;
  /** The same where its text goes rightwards, and may lie a little askew. */
  readonly place: Line;
  /** Mean probability of its characters; null: nothing had to be guessed. */
  readonly confidence: number | null;
  /** Which way it goes, in quarter turns clockwise from rightwards. */
  readonly quarters: number;
}

export interface PageText {
  readonly text: string;
  readonly lines: DocumentLine[];
}

/** The lines that words stand in, in the order of the content. */
export function linesOf(words: readonly Word[]): readonly TextLine[] {
  const lines: { words: Word[]; box: Box }[] = [];
  for (const word of words) {
    const line = lines.at(-1);
    const last = line?.words.at(-1);
    if (line !== undefined && last !== undefined && follows(last, word, line.box)) {
      line.words.push(word);
      line.box = around(line.box, word.box);
    } else {
      lines.push({ words: [word], box: word.box });
    }
  }
  return lines.map(({ words, box }) => {
    const quarters = words[0]?.quarters ?? 0;
    return { words, box, place: placeOf(turned(box, quarters)), confidence: null, quarters };
  });
}

const placeOf = ([left, top, right, bottom]: Box): Line => ({
  x: (left + right) / 2,
  y: (top + bottom) / 2,
  width: right - left,
  height: bottom - top,
  angle: 0,
});

function follows(before: Word, next: Word, lineBox: Box): boolean {
  if (before.quarters !== next.quarters) return false;
  const [line, a, b] = [lineBox, before.box, next.box].map((box) => turned(box, next.quarters)) as [
    Box,
    Box,
    Box,
  ];
  const height = Math.min(line[3] - line[1], b[3] - b[1]);
  const shared = Math.min(line[3], b[3]) - Math.max(line[1], b[1]);
  if (shared < MIN_SHARED_HEIGHT * height) return false;
  const gap = isRightToLeft(next.text) ? a[0] - b[2] : b[0] - a[2];
  const [least, most] = [-0.5 * height, MAX_GAP * (b[3] - b[1])];
  // A number within Hebrew or Arabic goes the other way.
  const isNear = (each: number): boolean => each >= least && each <= most;
  return isNear(gap) || (isRightToLeft(before.text) && isNear(a[0] - b[2]));
}

/** The lines in reading order, those first that go the way that most of the text goes, and the text that they are. */
export function textInOrder(lines: readonly TextLine[]): PageText {
  const ways = new Map<number, TextLine[]>();
  for (const line of lines) {
    const same = ways.get(line.quarters);
    if (same === undefined) ways.set(line.quarters, [line]);
    else same.push(line);
  }
  const weight = (all: readonly TextLine[]): number =>
    all.reduce((sum, { words }) => sum + words.length, 0);
  const ordered = [...ways.values()].toSorted((a, b) => weight(b) - weight(a)).map(orderedOneWay);
  return {
    text: ordered.map(({ text }) => text).join('\n\n'),
    lines: ordered.flatMap((each) => each.lines),
  };
}

interface Placed extends Line {
  readonly line: TextLine;
}

function orderedOneWay(lines: readonly TextLine[]): PageText {
  const placed = lines.map((line): Placed => ({ ...line.place, line }));
  const rows = rowsInReadingOrder(placed).map((row) =>
    isMostlyRightToLeft(row) ? row.toReversed() : row,
  );
  let text = '';
  let before: Line | null = null;
  for (const row of rows) {
    const [first] = row;
    if (first === undefined) continue;
    if (before !== null) text += isNewParagraph(before, first) ? '\n\n' : '\n';
    text += row.map(({ line }) => textOf(line)).join('\t');
    before = first;
  }
  return { text, lines: rows.flat().map(({ line }) => shown(line)) };
}

const isMostlyRightToLeft = (row: readonly Placed[]): boolean =>
  2 * row.filter(({ line }) => isRightToLeft(textOf(line))).length > row.length;

const textOf = ({ words }: TextLine): string => words.map(({ text }) => text).join(' ');

/** Not at the top of the next column, where a paragraph may go on. */
function isNewParagraph(before: Line, next: Line): boolean {
  const [cos, sin] = [Math.cos(next.angle), Math.sin(next.angle)];
  const down = (next.y - before.y) * cos - (next.x - before.x) * sin;
  const room = down - (before.height + next.height) / 2;
  return room > PARAGRAPH_GAP * Math.min(before.height, next.height);
}

const shown = (line: TextLine): DocumentLine => ({
  text: textOf(line),
  confidence: line.confidence,
  box: rounded(line.box),
  words: line.words.map(({ text, box }) => ({ text, box: rounded(box) })),
});

const rounded = (box: Box): Box => box.map(tenths) as Box;

/** To a tenth of a point. */
export const tenths = (points: number): number => Math.round(points * 10) / 10;
