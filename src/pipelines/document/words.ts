/*
 * Characters of a page's own text → words.
 *
 * Where a font's spaces are not written down, as in all that TeX makes, a gap is the only sign of one. A gap ends a word
 * when it is wider than those around it, so that text which is spaced out stays together.
 */
import { median } from '../shared/geometry.ts';
import type { Box, Character } from './pdf-page.ts';

export interface Word {
  readonly text: string;
  readonly box: Box;
  /** See `Character`. */
  readonly quarters: number;
}

/** What a page's own text is like; of characters that are not spaces. */
export interface TextFacts {
  readonly characters: number;
  /** Those of which nobody can tell what they are. */
  readonly unmapped: number;
  /** Those that are there to be found, not to be seen. */
  readonly hidden: number;
}

/** One character for several, which people type as several, and forms of Arabic letters that depend on their place. */
const COMPOSED = /[\uFB00-\uFB06\uFB50-\uFDFF\uFE70-\uFEFC]/gu;
/** Hebrew, Arabic and their relatives are written from right to left. */
const RIGHT_TO_LEFT = /[\u0590-\u08FF\uFB1D-\uFDFF\uFE70-\uFEFF]/u;
/** So many characters are no page for people, and their order could not be found in time. */
export const MAX_CHARACTERS = 200_000;
/** In shares of a character's height. */
const WIDER_GAP = 0.1; // than the gaps around it
const WORD_GAP = 0.3; // ends a word whatever is around it
const MIN_GAPS = 4; // fewer say nothing of what is usual
const RAISED = 0.15; // a superscript stands so much higher …
const SMALLER = 0.8; // … and is so much lower

interface Placed {
  readonly text: string;
  readonly box: Box;
  /** Its box where its text goes rightwards. */
  readonly frame: Box;
  readonly quarters: number;
  /** PDFium sees a space or a new line before it. */
  readonly isApart: boolean;
}

/** The words in the order of the content, and what they are like. Words outside of the page are left out. */
export function readWords(
  characters: Iterable<Character>,
  page: { readonly width: number; readonly height: number },
): { readonly words: readonly Word[]; readonly facts: TextFacts } {
  const words: Word[] = [];
  const facts = { characters: 0, unmapped: 0, hidden: 0 };
  let run: Placed[] = [];
  let isApart = false;
  const end = (): void => {
    for (const word of wordsIn(run)) if (isOn(word.box, page)) words.push(word);
    run = [];
    isApart = false;
  };
  for (const { text, box, quarters, isGenerated, isUnmapped, isHidden } of characters) {
    if (/^\s*$/u.test(text) && !isUnmapped) {
      if (isGenerated && text === ' ') isApart = true;
      else end();
      continue;
    }
    facts.characters += 1;
    if (isUnmapped) facts.unmapped += 1;
    if (isHidden) facts.hidden += 1;
    if (box === null || text === '' || facts.characters > MAX_CHARACTERS) continue;
    const frame = turned(box, quarters);
    const before = run.at(-1);
    if (before !== undefined && before.quarters !== quarters) end();
    run.push({ text, box, frame, quarters, isApart });
    isApart = false;
  }
  end();
  return { words, facts };
}

/** The words in characters between which no space is written. */
function* wordsIn(run: readonly Placed[]): Generator<Word> {
  const gaps = run.slice(1).flatMap((next, index) => {
    const before = run[index] ?? next;
    return isDot(before) || isDot(next) ? [] : [gapBetween(before, next)];
  });
  const usual = gaps.length < MIN_GAPS ? null : Math.max(0, median(gaps));
  let word: Word | undefined;
  for (const [index, next] of run.entries()) {
    const before = run[index - 1];
    if (word !== undefined && before !== undefined && !isApart(before, next, usual)) {
      word = { ...word, text: word.text + next.text, box: around(word.box, next.box) };
      continue;
    }
    if (word !== undefined) yield normal(word);
    word = { text: next.text, box: next.box, quarters: next.quarters };
  }
  if (word !== undefined) yield normal(word);
}

const normal = (word: Word): Word => ({
  ...word,
  text: word.text.replaceAll(COMPOSED, (each) => each.normalize('NFKC')),
});

/** Dots lead from a title to its page; their gaps say nothing of how letters are spaced. */
const isDot = ({ text }: Placed): boolean => text === '.';

/** The room between two characters, in shares of the higher one's height. */
const gapBetween = ({ frame: before }: Placed, { frame: next }: Placed): number =>
  (next[0] - before[2]) / Math.max(1e-3, next[3] - next[1], before[3] - before[1]);

function isApart(before: Placed, next: Placed, usual: number | null): boolean {
  if (isRightToLeft(before.text) || isRightToLeft(next.text)) return next.isApart;
  const gap = gapBetween(before, next);
  // PDFium joins the two halves of a word that is parted at the end of a line, and gives the letters of a ligature one box.
  const isBack = next.frame[2] < before.frame[0];
  if (isBack || !isBeside(before.frame, next.frame)) return true;
  if (isRaised(before, next) || isRaised(next, before)) return true;
  if (usual === null) return next.isApart || gap > WORD_GAP;
  return gap > Math.min(WORD_GAP, usual + WIDER_GAP);
}

const isBeside = (a: Box, b: Box): boolean => Math.min(a[3], b[3]) > Math.max(a[1], b[1]);

/** Whether the second one is a superscript of the first. PDFium's box of a hyphen may be as low as its line. */
function isRaised({ frame: base }: Placed, { text, frame: other }: Placed): boolean {
  if (text === '-') return false;
  const height = base[3] - base[1];
  return other[3] - other[1] < SMALLER * height && other[3] < base[3] - RAISED * height;
}

export const isRightToLeft = (text: string): boolean => RIGHT_TO_LEFT.test(text);

/** The smallest box around two. */
export const around = (a: Box, b: Box): Box => [
  Math.min(a[0], b[0]),
  Math.min(a[1], b[1]),
  Math.max(a[2], b[2]),
  Math.max(a[3], b[3]),
];

/** A box as it is after so many quarter turns back. */
export function turned([left, top, right, bottom]: Box, quarters: number): Box {
  switch (quarters) {
    case 1:
      return [top, -right, bottom, -left];
    case 2:
      return [-right, -bottom, -left, -top];
    case 3:
      return [-bottom, left, -top, right];
    default:
      return [left, top, right, bottom];
  }
}

const isOn = (
  [left, top, right, bottom]: Box,
  { width, height }: { readonly width: number; readonly height: number },
): boolean => right >= 0 && bottom >= 0 && left <= width && top <= height;
