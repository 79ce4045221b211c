/*
 * A PDF that is read in a thread of its own.
 *
 *  T1  A page that takes too long, or breaks PDFium, costs its thread and is a `PageFailure`; the next page is read by a
 *      new thread.
 *  T2  A thread that has taken much memory is replaced between two pages: PDFium gives none back.
 *  T3  The thread reads one page at a time, so memory does not grow with the number of pages.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../contract/failure.ts';
import { InvalidInputError, type Media, MediaFile } from '../definition.ts';
import type { RgbImage } from '../shared/image.ts';
import { type PageContent, PageFailure, type Pages } from './pages.ts';
import type { FromThread, PageWish, ToThread } from './pdf-messages.ts';
import type { GreyImage } from './pdf-page.ts';

/** What a thread may have taken and still be used for the next page. */
const MAX_HEAP_BYTES = 384 * 1024 ** 2;

export interface PdfOptions {
  readonly media: Media;
  /** Null: none was given. */
  readonly password: string | null;
  readonly wish: PageWish;
  readonly openTimeoutMs: number;
  readonly pageTimeoutMs: number;
}

interface Open {
  readonly thread: Worker;
  readonly pageCount: number;
}

/** Throws `InvalidInputError`. */
export async function openPdf(options: PdfOptions): Promise<Pages> {
  const first = await openThread(options);
  return new Pdf(options, first);
}

class Pdf implements Pages {
  readonly count: number;
  readonly #options: PdfOptions;
  /** Null: it was ended. */
  #thread: Worker | null;

  constructor(options: PdfOptions, { thread, pageCount }: Open) {
    this.#options = options;
    this.#thread = thread;
    this.count = pageCount;
  }

  async read(number: number, signal: AbortSignal): Promise<PageContent> {
    const { wish, pageTimeoutMs } = this.#options;
    this.#thread ??= (await openThread(this.#options)).thread; // T1
    const request: ToThread = { type: 'read', index: number - 1, wish };
    const reply = await ask(this.#thread, request, pageTimeoutMs, signal).catch(
      async (error: unknown) => {
        await this.close(); // T1
        throw error instanceof ThreadError ? pageFailure(error, pageTimeoutMs) : error;
      },
    );
    if (reply.type === 'page_failed') throw new PageFailure(reply.error);
    if (reply.type !== 'page') throw new Error(`a thread answered ${reply.type} instead of a page`);
    if (reply.heapBytes > MAX_HEAP_BYTES) await this.close(); // T2
    const { page } = reply;
    return page.source === 'ocr' ? { ...page, image: colored(page.image) } : page;
  }

  async close(): Promise<void> {
    const thread = this.#thread;
    this.#thread = null;
    await thread?.terminate();
  }
}

/** Why a thread has no answer. */
class ThreadError extends Error {
  override readonly name = 'ThreadError';
  readonly isLate: boolean;
  constructor(isLate: boolean, message: string) {
    super(message);
    this.isLate = isLate;
  }
}

const pageFailure = ({ isLate, message }: ThreadError, timeoutMs: number): PageFailure =>
  isLate
    ? new PageFailure({
        code: 'page_timeout',
        message: `the page was not read within ${timeoutMs / 1000} s`,
      })
    : new PageFailure({ code: 'page_crashed', message: `the page broke its reader: ${message}` });

async function openThread({ media, password, openTimeoutMs }: PdfOptions): Promise<Open> {
  const thread = new Worker(new URL('./pdf-thread.js', import.meta.url), {
    execArgv: [],
    env: {},
  });
  thread.unref(); // a process that ends need not wait for it
  const document = media instanceof MediaFile ? { path: media.path } : media;
  const request: ToThread = { type: 'open', document, password: password ?? '' };
  try {
    const reply = await ask(thread, request, openTimeoutMs, null);
    if (reply.type === 'opened') return { thread, pageCount: reply.pageCount };
    throw refusal(reply.type === 'refused' ? reply.reason : 'damaged', password);
  } catch (error) {
    await thread.terminate();
    if (!(error instanceof ThreadError)) throw error;
    const how = error.isLate ? `takes longer than ${openTimeoutMs / 1000} s` : messageOf(error);
    const message = `document: it cannot be opened: ${how}`;
    throw new InvalidInputError(message, { reason: 'damaged', cause: error });
  }
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

/** Throws `ThreadError`, and the reason of the signal; then the thread must be ended. */
async function ask(
  thread: Worker,
  message: ToThread,
  timeoutMs: number,
  signal: AbortSignal | null,
): Promise<FromThread> {
  const over = new AbortController();
  const late = AbortSignal.timeout(timeoutMs);
  const stop = AbortSignal.any([over.signal, late, ...(signal === null ? [] : [signal])]);
  const answered = once(thread, 'message', { signal: stop });
  const ended = once(thread, 'exit', { signal: stop });
  thread.postMessage(message, []);
  try {
    const first = await Promise.race([answered, ended.then(() => null)]); // an `error` event rejects both
    if (first === null) throw new ThreadError(false, 'its thread has ended');
    return first[0] as FromThread;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ThreadError) throw error;
    throw new ThreadError(late.aborted, messageOf(error));
  } finally {
    over.abort();
    await Promise.allSettled([answered, ended]);
  }
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
