import { z } from 'zod';
import type { Manifest } from '../../contract/model.ts';
import { type DescribePipeline, PLAIN_INPUT } from '../definition.ts';
import { OCR_FILES } from '../ocr/schema.ts';
import { documentField } from '../shared/document-header.ts';
import { manifestOptions } from '../shared/manifest-options.ts';
import { PAGE_FORMS } from './page-forms.ts';
import { checked, type PageRange, parseRanges } from './page-numbers.ts';

const settingsSchema = z.strictObject({
  /** The most pages of one document that are read. */
  max_pages: z.int().min(1).max(100_000).default(5000),
  /** A page that takes longer is given up. */
  page_timeout_s: z.number().min(0.1).max(3600).default(60),
  /** A document that takes longer to be opened is given up. */
  open_timeout_s: z.number().min(0.1).max(3600).default(60),
  /** A page is rendered for OCR with at most so many pixels, whatever its size. */
  max_page_pixels: z.int().min(10_000).max(1_000_000_000).default(40_000_000),
  /** The most bytes of a document. */
  max_bytes: z
    .int()
    .min(1024)
    .max(1024 ** 3)
    .default(512 * 1024 ** 2),
});

export type DocumentSettings = z.infer<typeof settingsSchema>;

/** The options of a manifest; throws an error that says which is wrong. */
export const settingsOf = (manifest: Manifest): DocumentSettings =>
  manifestOptions(manifest, settingsSchema);

const pageNumber = z.int().min(1).max(1_000_000);

const pagesSchema = z.union([
  z
    .string()
    .max(1000)
    .refine((text) => parseRanges(text) !== null, 'must be page numbers and ranges: 1-20,25'),
  z
    .array(
      z.union([
        pageNumber,
        z
          .tuple([pageNumber, pageNumber])
          .refine(([first, last]) => checked(first, last) !== null, 'must be first and last page'),
      ]),
    )
    .min(1)
    .max(100),
]);

const optionsSchema = z.strictObject({
  pages: pagesSchema
    .nullable()
    .default(null)
    .describe('Which pages: `"1-20,25"`, or `[[1, 20], 25]`; null: all.'),
  mode: z
    .enum(['auto', 'text', 'ocr'])
    .default('auto')
    .describe(
      "`auto`: a page's own text where it is sound, OCR where it is not; `text`: never OCR; `ocr`: always.",
    ),
  dpi: z.int().min(72).max(600).default(200).describe('Pixels per inch of a page that OCR reads.'),
  min_confidence: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe('Lines that OCR has read with less confidence than this are left out.'),
  detail: z
    .enum(['words', 'lines', 'text'])
    .default('words')
    .describe('How much is told of a page: its text, also its lines, or also their words.'),
  password: z
    .string()
    .max(128)
    .nullable()
    .default(null)
    .describe('Opens an encrypted document. It is shown nowhere.'),
});

/** Why a page cannot be read although its document can. */
const PAGE_ERRORS = [
  'page_damaged',
  'page_timeout',
  'page_crashed',
  'page_too_large',
  'image_too_large',
] as const;

const box = z
  .tuple([z.number(), z.number(), z.number(), z.number()])
  .describe(
    'Left, top, right and bottom in points (1/72 inch) from the top left corner of the page.',
  );

const wordSchema = z.object({ text: z.string(), box });

const lineSchema = z.object({
  text: z.string(),
  confidence: z
    .number()
    .min(0)
    .max(1)
    .nullable()
    .describe("Mean probability of its characters; null: it is the page's own text."),
  box,
  words: z.array(wordSchema),
});

const pageSchema = z.object({
  number: z.int().describe('From 1.'),
  width: z.number().describe('In points, as the page is seen.'),
  height: z.number().describe('In points, as the page is seen.'),
  rotation: z.int().describe('By how many degrees clockwise the document turns the page.'),
  source: z
    .enum(['text', 'ocr', 'hidden_text', 'blank'])
    .nullable()
    .describe(
      "Where the text comes from: the page itself, OCR, or an earlier OCR's text behind the picture of the page; `blank`: there is none; null: the page could not be read.",
    ),
  text: z
    .string()
    .describe('In reading order; an empty line between paragraphs, a tab between cells.'),
  lines: z.array(lineSchema).describe('In reading order.'),
  error: z
    .object({ code: z.enum(PAGE_ERRORS), message: z.string() })
    .nullable()
    .describe('Why the page could not be read.'),
});

const outputSchema = z.object({
  pages: z.array(pageSchema),
  text: z.string().describe('The text of all pages, with a form feed between two of them.'),
  page_count: z.int().describe('How many pages the document has.'),
  pages_failed: z.int().describe('How many of `pages` could not be read.'),
});

/** `pages` as ranges; null: all. */
export function rangesOf(pages: DocumentOptions['pages']): readonly PageRange[] | null {
  if (typeof pages === 'string') return parseRanges(pages);
  return pages?.map((each) => (typeof each === 'number' ? [each, each] : each)) ?? null;
}

export type DocumentOptions = z.infer<typeof optionsSchema>;
export type DocumentWord = z.infer<typeof wordSchema>;
export type DocumentLine = z.infer<typeof lineSchema>;
export type DocumentPage = z.infer<typeof pageSchema>;
export type PageError = NonNullable<DocumentPage['error']>;
export type DocumentOutput = z.infer<typeof outputSchema>;

/** A page without a word. */
const EXAMPLE =
  'data:application/pdf;base64,JVBERi0xLjQKMSAwIG9iajw8L1R5cGUvQ2F0YWxvZy9QYWdlcyAyIDAgUj4+ZW5kb2JqCjIgMCBvYmo8PC9UeXBlL1BhZ2VzL0tpZHNbMyAwIFJdL0NvdW50IDE+PmVuZG9iagozIDAgb2JqPDwvVHlwZS9QYWdlL1BhcmVudCAyIDAgUi9NZWRpYUJveFswIDAgNzIgNzJdPj5lbmRvYmoKeHJlZgowIDQKMDAwMDAwMDAwMCA2NTUzNSBmIAowMDAwMDAwMDA5IDAwMDAwIG4gCjAwMDAwMDAwNTIgMDAwMDAgbiAKMDAwMDAwMDEwMSAwMDAwMCBuIAp0cmFpbGVyPDwvU2l6ZSA0L1Jvb3QgMSAwIFI+PgpzdGFydHhyZWYKMTYyCiUlRU9GCg==';

export const describeDocument: DescribePipeline = (manifest) => {
  const missing = OCR_FILES.filter((role) => manifest.files[role] === undefined);
  if (missing.length > 0) {
    throw new Error(`files: the document pipeline also needs ${missing.join(', ')}`);
  }
  settingsOf(manifest);
  return {
    ...PLAIN_INPUT,
    example: { document: EXAMPLE },
    input: z.strictObject({
      document: z
        .string()
        .describe(
          'A PDF, a TIFF of any number of pages, or a PNG, JPEG or WebP image, as a data URL, an https URL or the id of a file.',
        ),
    }),
    options: optionsSchema,
    output: outputSchema,
    media: { document: documentField },
    secretOptions: ['password'],
    streaming: { kind: 'pages', forms: PAGE_FORMS },
    batchKey: null, // each document has a process to itself, because a hostile one may cost it
  };
};
