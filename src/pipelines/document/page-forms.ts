/* The pages of a document as other texts. Each is made of one page after the other, because there may be very many. */
import type { PageForm } from '../definition.ts';
import { median } from '../shared/geometry.ts';
import type { DocumentLine, DocumentPage } from './schema.ts';

/** Lines so much higher than most are titles, those above the second bound titles of chapters. */
const TITLE = { small: 1.25, large: 1.6 } as const;
const MAX_TITLE_CHARS = 200;
/** A page with as many words says which height is usual. */
const MIN_JUDGED_WORDS = 100;
const JUDGED_PAGES = 10;
const PAGE_NUMBER = /^[ivxlc\d]+$/i;
/** Dots that lead to the number of a page: an entry of a table of contents. */
const LEADERS = /(?:\. ?){4}/;

export const PAGE_FORMS: Readonly<Record<string, PageForm>> = {
  'text/markdown': markdown,
  'text/plain': plainText,
  /** https://github.com/ndjson/ndjson-spec */
  'application/x-ndjson': () => (page) => `${JSON.stringify(page)}\n`,
};

/** As `text` in the output. */
function plainText(): (page: unknown) => string {
  let separator = '';
  return (page) => {
    const text = separator + (page as DocumentPage).text;
    separator = '\f';
    return text;
  };
}

/** Paragraphs, with titles by the height of their lines, and the beginning of each page as a comment. */
function markdown(): (page: unknown) => string {
  let before: readonly number[] = []; // what was usual on the latest pages
  let separator = '';
  return (given) => {
    const page = given as DocumentPage;
    const heights = page.lines.flatMap((line) =>
      Array<number>(line.words.length).fill(heightOf(line)),
    );
    const own = median(heights);
    // A page of a few words, such as that of a title, does not say what is usual; one of much small print only in part.
    const isJudge = heights.length >= MIN_JUDGED_WORDS || before.length === 0;
    const usual = isJudge ? Math.max(own, median(before)) : median(before);
    if (heights.length >= MIN_JUDGED_WORDS) before = [...before, own].slice(-JUDGED_PAGES);
    const text = pageMarkdown(page, usual);
    const begin = separator;
    separator = '\n';
    return `${begin}<!-- page ${page.number} -->\n\n${text}\n`;
  };
}

function pageMarkdown({ text, lines, error }: DocumentPage, usual: number): string {
  if (error !== null) return `<!-- ${error.code}: ${error.message.replaceAll(/[->]/g, ' ')} -->`;
  const left = lines.values();
  return text
    .split('\n')
    .map((row) => {
      if (row === '') return '';
      const cells = row.split('\t').flatMap(() => left.next().value ?? []);
      return titleMark(row, median(cells.map(heightOf)), usual) + escaped(row);
    })
    .join('\n');
}

function titleMark(row: string, height: number, usual: number): string {
  if (usual === 0 || row.length > MAX_TITLE_CHARS) return '';
  if (PAGE_NUMBER.test(row) || LEADERS.test(row) || !/\p{L}/u.test(row)) return '';
  if (height > TITLE.large * usual) return '# ';
  return height > TITLE.small * usual ? '## ' : '';
}

/** That of most of its words; of a line that goes up or down the page, their width. */
const heightOf = ({ words }: DocumentLine): number =>
  median(words.map(({ box: [left, top, right, bottom] }) => Math.min(right - left, bottom - top)));

/** What would be read as a title, a list, a quotation, code, a link or HTML. */
const escaped = (row: string): string =>
  row
    .replaceAll(/[`<[\]*]/g, '\\$&')
    .replace(/^(\s*)([#>+=~-])/, '$1\\$2')
    .replace(/^(\s*\d+)([.)])/, '$1\\$2');
