/*
 * Reads documents page by page: the text that a page has, or what OCR reads on it. Each page that is done is told, so
 * that it can be read at once and another attempt need not read it again.
 *
 *  D1  Before a page is begun, that is told, with how often it was begun: a page whose process has died too often is
 *      given up, not the document.
 *  D2  A page is kept as JSON, so that memory grows by what the output needs.
 *  D3  While a page is worked on, the next one is read out of its document.
 */
import { open } from 'node:fs/promises';
import { POISON_DEATHS } from '../../contract/failure.ts';
import { JSON_MEDIA_TYPE } from '../../contract/payload.ts';
import {
  EncodedOutput,
  type InferenceContext,
  InvalidInputError,
  type Media,
  MediaFile,
  OutputTooLargeError,
  type Pipeline,
  type PipelineSettings,
} from '../definition.ts';
import { PageReader } from '../ocr/page-reader.ts';
import { mayBeImage } from '../shared/image-header.ts';
import { readPageImage } from './ocr-page.ts';
import { wantedPages } from './page-numbers.ts';
import { tenths } from './page-text.ts';
import { type PageContent, PageFailure, type Pages } from './pages.ts';
import { openPdf } from './pdf.ts';
import { PdfThreads } from './pdf-threads.ts';
import { Pace } from '../shared/pace.ts';
import { openRaster } from './raster.ts';
import {
  type DocumentOptions,
  type DocumentPage,
  type DocumentSettings,
  type PageError,
  rangesOf,
  settingsOf,
} from './schema.ts';

/** What a document's parts are: they are joined, and the page that was begun last counts. */
interface DocumentPart {
  readonly pages?: readonly DocumentPage[];
  readonly begun?: Begun;
}

/** A page, and how often it was begun; 0: none. */
type Begun = Readonly<Record<'page' | 'times', number>>;

export async function openDocument(settings: PipelineSettings): Promise<Pipeline> {
  const reader = await PageReader.open(settings);
  const limits = settingsOf(settings.manifest);
  const threads = new PdfThreads();
  return {
    async infer({ input, options }, context) {
      const media = input['document'] as Media;
      const wanted = options as DocumentOptions;
      const pages = await openPages(media, wanted, {
        limits,
        maxImagePixels: settings.limits.maxPixels,
        threads,
        signal: context.signal,
      });
      try {
        const { maxOutputBytes } = settings;
        const shared = { reader, limits, maxOutputBytes };
        const run = new DocumentRun(pages, { ...shared, options: wanted, context });
        return await run.readAll();
      } finally {
        await pages.close();
      }
    },
  };
}

interface OpenOptions {
  readonly limits: DocumentSettings;
  readonly maxImagePixels: number;
  readonly threads: PdfThreads;
  readonly signal: AbortSignal;
}

async function openPages(
  media: Media,
  { mode, dpi, password }: DocumentOptions,
  { limits, maxImagePixels, threads, signal }: OpenOptions,
): Promise<Pages> {
  const { head, bytes } = await beginningOf(media);
  if (bytes > limits.max_bytes) {
    const message = `document: it has ${bytes} bytes, more than the ${limits.max_bytes} allowed`;
    throw new InvalidInputError(message, { reason: 'too_large' });
  }
  const pageTimeoutMs = limits.page_timeout_s * 1000;
  if (mayBeImage(head)) return await openRaster({ media, maxImagePixels, pageTimeoutMs });
  const wish = { mode, dpi, maxImagePixels, maxPagePixels: limits.max_page_pixels };
  const openTimeoutMs = limits.open_timeout_s * 1000;
  const options = { threads, media, password, wish, openTimeoutMs, pageTimeoutMs };
  return await openPdf(options, signal);
}

async function beginningOf(
  media: Media,
): Promise<{ readonly head: Uint8Array; readonly bytes: number }> {
  if (!(media instanceof MediaFile)) return { head: media, bytes: media.length };
  const file = await open(media.path);
  try {
    const { buffer } = await file.read(Buffer.alloc(8), 0, 8, 0);
    return { head: buffer, bytes: (await file.stat()).size };
  } finally {
    await file.close();
  }
}

interface RunOptions {
  readonly reader: PageReader;
  readonly limits: DocumentSettings;
  readonly options: DocumentOptions;
  readonly context: InferenceContext;
  readonly maxOutputBytes: number;
}

class DocumentRun {
  readonly #pages: Pages;
  readonly #options: RunOptions;
  readonly #done = new Map<number, EncodedPage>();
  #bytes = 0;
  /** The page that is read out of the document ahead of its turn. */
  #ahead: { readonly number: number; readonly page: Promise<PageContent> } | null = null;
  /** How often the page was begun that earlier attempts have begun last. */
  readonly #begun: Begun;

  constructor(pages: Pages, options: RunOptions) {
    const before = (options.context.before ?? {}) as DocumentPart;
    this.#pages = pages;
    this.#options = options;
    this.#begun = before.begun ?? { page: 0, times: 0 };
    for (const page of before.pages ?? []) this.#keep(page);
  }

  async readAll(): Promise<EncodedOutput> {
    const { context } = this.#options;
    const numbers = this.#wanted();
    const left = numbers.filter((number) => !this.#done.has(number));
    const pace = new Pace(numbers.length, this.#done.size);
    const begun = this.#begin(left[0]);
    context.emit({ pages: [], begun });
    if (left.length === 0 && begun.times > POISON_DEATHS) {
      throw new OutputTooLargeError(
        `${POISON_DEATHS} processes died while they put the output together`,
      );
    }
    for (const [index, number] of left.entries()) {
      context.signal.throwIfAborted();
      const done = this.#done.size;
      context.report(
        done / numbers.length,
        pace.message(`page ${done + 1} of ${numbers.length}`, done),
      );
      const next = left[index + 1];
      const { times } = this.#begin(number);
      const isFirst = times === 1; // otherwise nobody would know which of two pages took the process
      const page =
        times > POISON_DEATHS
          ? failed(number, DIED)
          : await this.#read(number, isFirst ? next : undefined).catch((error: unknown) => {
              context.emit({ begun: { page: number, times: times - 1 } }); // this was no death
              throw error;
            });
      this.#keep(page);
      context.emit({ pages: [page], begun: this.#begin(next) }); // D1
    }
    return outputOf(
      numbers.flatMap((number) => this.#done.get(number) ?? []),
      this.#pages.count,
    );
  }

  /** D2. Throws when that is too much. */
  #keep(page: DocumentPage): void {
    const encoded = encodedPage(page);
    this.#done.set(page.number, encoded);
    this.#bytes += encoded.json.length + Buffer.byteLength(page.text);
    const { maxOutputBytes } = this.#options;
    if (this.#bytes <= maxOutputBytes) return;
    const what = `${this.#done.size} pages have more than the ${maxOutputBytes} bytes allowed (BUZZER_MAX_OUTPUT)`;
    throw new OutputTooLargeError(`${what}: choose fewer pages, or less detail`);
  }

  /** What is told of a page that is about to be begun. */
  #begin(page = 0): Begun {
    return { page, times: this.#begun.page === page ? this.#begun.times + 1 : 1 };
  }

  #wanted(): readonly number[] {
    const { count } = this.#pages;
    const { max_pages: most } = this.#options.limits;
    if (count === 0) {
      throw new InvalidInputError('document: it has no pages', { reason: 'no_pages' });
    }
    const numbers = wantedPages(rangesOf(this.#options.options.pages), count, most);
    if (numbers === null) {
      const message = `document: it has ${count} pages: at most ${most} are read, which options.pages can choose`;
      throw new InvalidInputError(message, { reason: 'too_many_pages' });
    }
    if (numbers.length > 0) return numbers;
    const message = `options.pages: none of them is in the document, which has ${count} pages`;
    throw new InvalidInputError(message, { reason: 'no_pages' });
  }

  async #read(number: number, next: number | undefined): Promise<DocumentPage> {
    const { reader, options, limits, context } = this.#options;
    try {
      const page = await this.#open(number);
      if (next !== undefined) this.#openAhead(next);
      const { width, height, rotation, source } = page;
      const content =
        source === 'ocr'
          ? await readPageImage(page, reader, {
              minConfidence: options.min_confidence,
              timeoutMs: limits.page_timeout_s * 1000, // PDFium has had as long
              signal: context.signal,
            })
          : page.content;
      const size = { width: tenths(width), height: tenths(height), rotation };
      const lines = inDetail(content.lines, options.detail);
      return { number, ...size, source, text: content.text, lines, error: null };
    } catch (error) {
      context.signal.throwIfAborted();
      if (!(error instanceof PageFailure)) throw error;
      return failed(number, { code: error.code, message: error.message });
    }
  }

  async #open(number: number): Promise<PageContent> {
    const ahead = this.#ahead;
    this.#ahead = null;
    if (ahead?.number === number) return await ahead.page;
    await ahead?.page.catch(() => {}); // one page at a time
    return await this.#pages.read(number, this.#options.context.signal);
  }

  /** D3. When that fails, it does so when it is the page's turn. */
  #openAhead(number: number): void {
    const page = this.#pages.read(number, this.#options.context.signal);
    page.catch(() => {});
    this.#ahead = { number, page };
  }
}

/** The lines as far as somebody wants to know them. */
function inDetail(
  lines: DocumentPage['lines'],
  detail: DocumentOptions['detail'],
): DocumentPage['lines'] {
  if (detail === 'text') return [];
  return detail === 'words' ? lines : lines.map((line) => ({ ...line, words: [] }));
}

const DIED: PageError = {
  code: 'page_crashed',
  message: `${POISON_DEATHS} processes died while they read the page`,
};

const failed = (number: number, error: PageError): DocumentPage => ({
  number,
  width: 0,
  height: 0,
  rotation: 0,
  source: null,
  text: '',
  lines: [],
  error,
});

interface EncodedPage {
  readonly json: Buffer;
  readonly text: string;
  readonly hasFailed: boolean;
}

const encodedPage = (page: DocumentPage): EncodedPage => ({
  json: Buffer.from(JSON.stringify(page)),
  text: page.text,
  hasFailed: page.error !== null,
});

function outputOf(pages: readonly EncodedPage[], count: number): EncodedOutput {
  const text = pages.map((page) => page.text).join('\f');
  const failures = pages.filter((page) => page.hasFailed).length;
  const parts = [
    Buffer.from('{"pages":['),
    ...pages.flatMap(({ json }, index) => (index === 0 ? [json] : [COMMA, json])),
    Buffer.from(
      `],"text":${JSON.stringify(text)},"page_count":${count},"pages_failed":${failures}}`,
    ),
  ];
  return new EncodedOutput(parts, JSON_MEDIA_TYPE);
}

const COMMA = Buffer.from(',');
