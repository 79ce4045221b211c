/* How many of pdftotext's words are among ours, and in its order. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const exec = promisify(execFile);
/** How far apart two tools may see the middle of a word, in points. */
const TOLERANCE = { across: 4, down: 6 } as const;

export interface PlacedWord {
  readonly text: string;
  readonly x: number;
  readonly y: number;
}

/** The words of the first pages, in pdftotext's order. */
export async function pdftotextWords(
  file: string,
  pages: number,
): Promise<readonly (readonly PlacedWord[])[]> {
  const args = ['-bbox', '-l', String(pages), file, '-'];
  const { stdout } = await exec('pdftotext', args, { maxBuffer: 1024 ** 3 });
  return stdout
    .split('<page ')
    .slice(1)
    .map((page) => {
      const words = page.matchAll(
        /<word xMin="([-\d.]+)" yMin="([-\d.]+)" xMax="([-\d.]+)" yMax="([-\d.]+)">([^<]*)</g,
      );
      return [...words].map(([, x0, y0, x1, y1, text = '']) => ({
        text: decoded(text),
        x: (Number(x0) + Number(x1)) / 2,
        y: (Number(y0) + Number(y1)) / 2,
      }));
    });
}

const decoded = (text: string): string =>
  text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&apos;', "'")
    .replaceAll('&amp;', '&');

export interface WordsFound {
  readonly theirs: number;
  readonly found: number;
  /** Of words that follow each other in their text and were both found, the share that do so in ours. */
  readonly neighbours: number;
  readonly kept: number;
  /** Those found, and those whose letters are part of one of ours, or of several that follow each other. */
  readonly letters: number;
}

export function compareWords(
  theirs: readonly PlacedWord[],
  ours: readonly PlacedWord[],
): WordsFound {
  const byText = new Map<string, { readonly word: PlacedWord; readonly index: number }[]>();
  for (const [index, word] of ours.entries()) {
    const same = byText.get(normal(word.text));
    if (same === undefined) byText.set(normal(word.text), [{ word, index }]);
    else same.push({ word, index });
  }
  let letters = 0;
  const places = theirs.map((word) => {
    const candidates = byText.get(normal(word.text)) ?? [];
    const at = candidates.findIndex(
      ({ word: { x, y } }) =>
        Math.abs(x - word.x) <= TOLERANCE.across && Math.abs(y - word.y) <= TOLERANCE.down,
    );
    if (at !== -1 || isPartOf(word, ours)) letters += 1;
    return at === -1 ? null : (candidates.splice(at, 1)[0]?.index ?? null);
  });
  let [neighbours, kept] = [0, 0];
  for (const [index, place] of places.entries()) {
    const next = places[index + 1] ?? null;
    if (place === null || next === null) continue;
    neighbours += 1;
    if (next === place + 1) kept += 1;
  }
  const found = places.filter((place) => place !== null).length;
  return { theirs: theirs.length, found, letters, neighbours, kept };
}

/** Whether the letters of a word stand on its line, near its place, whatever words they are parted into. */
function isPartOf({ text, x, y }: PlacedWord, ours: readonly PlacedWord[]): boolean {
  const near = ours.filter(
    (word) => Math.abs(word.y - y) <= TOLERANCE.down + 2 && Math.abs(word.x - x) <= 60,
  );
  const line = near.toSorted((a, b) => a.x - b.x).map((word) => normal(word.text));
  return line.join('').includes(normal(text));
}

/** `pdftotext -bbox` writes the characters of right-to-left words from left to right. */
function normal(text: string): string {
  const composed = text.normalize('NFKC');
  return /[\u0590-\u08FF]/u.test(composed) ? Array.from(composed).toSorted().join('') : composed;
}
