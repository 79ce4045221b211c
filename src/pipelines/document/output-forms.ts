/* The output of a document as other texts. */
import { median } from '../shared/geometry.ts';
import type { DocumentLine, DocumentOutput, DocumentPage } from './schema.ts';

/** https://github.com/ndjson/ndjson-spec */
export const LINES_MEDIA_TYPE = 'application/x-ndjson';

/** A page on each line. */
export const toLines = ({ pages }: DocumentOutput): string =>
  pages.map((page) => `${JSON.stringify(page)}\n`).join('');

/** Lines so much higher than most are titles, those above the second bound titles of chapters. */
const TITLE = { small: 1.25, large: 1.6 } as const;
const MAX_TITLE_CHARS = 200;

/** Paragraphs, with titles by the height of their lines, and the beginning of each page as a comment. */
export function toMarkdown({ pages }: DocumentOutput): string {
  const usual = median(pages.flatMap(({ lines }) => lines.map(heightOf)));
  return pages
    .map((page) => `<!-- page ${page.number} -->\n\n${pageMarkdown(page, usual)}\n`)
    .join('\n');
}

function pageMarkdown({ text, lines, error }: DocumentPage, usual: number): string {
  if (error !== null) return `<!-- ${error.code}: ${error.message.replaceAll('--', '- -')} -->`;
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
  if (row.length > MAX_TITLE_CHARS || !/\p{L}/u.test(row)) return '';
  if (height > TITLE.large * usual) return '# ';
  return height > TITLE.small * usual ? '## ' : '';
}

/** That of most of its words; of a line that goes up or down the page, their width. */
const heightOf = ({ words }: DocumentLine): number =>
  median(words.map(({ box: [left, top, right, bottom] }) => Math.min(right - left, bottom - top)));

/** What would be read as a title, a list, a quotation or HTML. */
const escaped = (row: string): string =>
  row
    .replaceAll('<', '\\<')
    .replace(/^(\s*)([#>+*-]|\d+(?=[.)]))/, (_all, space: string, mark: string) =>
      /\d/.test(mark) ? `${space}${mark}` : `${space}\\${mark}`,
    );
