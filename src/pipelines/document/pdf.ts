/*
 * A PDF that is read in a thread.
 *
 *  T1  A page that takes too long, or breaks PDFium, costs its thread and is a `PageFailure`; the next page is read by
 *      another one.
 *  T2  A thread that has taken much memory is replaced between two pages: PDFium gives none back.
 *  T3  The thread reads one page at a time, so memory does not grow with the number of pages.
 */
import { InvalidInputError, type Media, MediaFile } from '../definition.ts';
import type { RgbImage } from '../shared/image.ts';
import { type PageContent, PageFailure, type Pages, pageTimeout } from './pages.ts';
import type { PageWish, ToThread } from './pdf-messages.ts';
import type { GreyImage } from './pdf-page.ts';
import { type PdfThread, PdfThreadError, type PdfThreads } from './pdf-threads.ts';

/** What PDFium may have taken beside the document and still be used for the next page. */
const MAX_GROWN_BYTES = 384 * 1024 ** 2;

export interface PdfOptions {
  readonly threads: PdfThreads;
  readonly media: Media;
  /** Null: none was given. */
  readonly password: string | null;
  readonly wish: PageWish;
  readonly openTimeoutMs: number;
  readonly pageTimeoutMs: number;
}

interface Open {
  readonly thread: PdfThread;
  readonly pageCount: number;
}

/** Throws `InvalidInputError`, and the reason of the signal. */
export async function openPdf(options: PdfOptions, signal: AbortSignal): Promise<Pages> {
  try {
    return new Pdf(options, await openIn(options, signal));
  } catch (error) {
    if (!(error instanceof PdfThreadError)) throw error;
    const how = error.isLate
      ? `takes longer than ${options.openTimeoutMs / 1000} s`
      : 'breaks its reader';
    const message = `document: it cannot be opened: that ${how}`;
    throw new InvalidInputError(message, { reason: 'damaged', cause: error });
  }
}

class Pdf implements Pages {
  readonly count: number;
  readonly #options: PdfOptions;
  /** Null: it was ended. */
  #thread: PdfThread | null;
  #isReading = false;
  #isClosed = false;

  constructor(options: PdfOptions, { thread, pageCount }: Open) {
    this.#options = options;
    this.#thread = thread;
    this.count = pageCount;
  }

  async read(number: number, signal: AbortSignal): Promise<PageContent> {
    const { wish, pageTimeoutMs } = this.#options;
    this.#isReading = true;
    try {
      const thread = await this.#openThread(signal);
      const reply = await thread.ask(
        { type: 'read', index: number - 1, wish },
        pageTimeoutMs,
        signal,
      );
      if (reply.type !== 'page' && reply.type !== 'page_failed') {
        throw new Error(`a thread answered ${reply.type} instead of a page`);
      }
      if (reply.grownBytes > MAX_GROWN_BYTES) await this.#end(); // T2
      if (reply.type === 'page_failed') throw new PageFailure(reply.error);
      const { page } = reply;
      return page.source === 'ocr' ? { ...page, image: colored(page.image) } : page;
    } catch (error) {
      if (!(error instanceof PageFailure)) await this.#end(); // T1
      throw error instanceof PdfThreadError ? pageFailure(error, pageTimeoutMs) : error;
    } finally {
      this.#isReading = false;
    }
  }

  /** The thread that has the document open. */
  async #openThread(signal: AbortSignal): Promise<PdfThread> {
    if (this.#thread !== null) return this.#thread;
    const { thread } = await openIn(this.#options, signal); // T1
    this.#thread = thread;
    if (this.#isClosed) throw new Error('the document was closed');
    return thread;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const thread = this.#thread;
    if (thread === null) return;
    if (this.#isReading) await this.#end();
    else await this.#options.threads.giveBack(thread);
    this.#thread = null;
  }

  async #end(): Promise<void> {
    const thread = this.#thread;
    this.#thread = null;
    await thread?.end();
  }
}

const pageFailure = ({ isLate, message }: PdfThreadError, timeoutMs: number): PageFailure =>
  isLate
    ? pageTimeout(timeoutMs)
    : new PageFailure({ code: 'page_crashed', message: `the page broke its reader: ${message}` });

/** Throws `PdfThreadError`, `InvalidInputError` and the reason of the signal. */
async function openIn(
  { threads, media, password, openTimeoutMs }: PdfOptions,
  signal: AbortSignal,
): Promise<Open> {
  const thread = await threads.take();
  const document = media instanceof MediaFile ? { path: media.path } : media;
  const request: ToThread = { type: 'open', document, password: password ?? '' };
  const reply = await thread.ask(request, openTimeoutMs, signal).catch(async (error: unknown) => {
    await thread.end();
    throw error;
  });
  if (reply.type === 'opened') return { thread, pageCount: reply.pageCount };
  await threads.giveBack(thread);
  throw refusal(reply.type === 'refused' ? reply.reason : 'damaged', password);
}

function refusal(reason: 'damaged' | 'password', password: string | null): InvalidInputError {
  if (reason === 'damaged') {
    return new InvalidInputError('document: it is damaged: no page can be found in it', { reason });
  }
  return password === null
    ? new InvalidInputError('document: it is encrypted: give its password in options.password', {
        reason: 'password_required',
      })
    : new InvalidInputError('document: options.password does not open it', {
        reason: 'wrong_password',
      });
}

/** OCR takes three bytes a pixel. */
function colored({ width, height, data }: GreyImage): RgbImage {
  const rgb = Buffer.allocUnsafe(3 * data.length);
  for (let at = 0, to = 0; at < data.length; at++) {
    const value = data[at] ?? 0;
    rgb[to++] = value;
    rgb[to++] = value;
    rgb[to++] = value;
  }
  return { width, height, data: rgb };
}
