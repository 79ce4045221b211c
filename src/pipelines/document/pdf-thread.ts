/*
 * The entry point of the threads that read PDFs, one after the other. A hostile page may hang it or use up its memory; then whoever owns
 * it ends it and goes on with another one.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../../contract/failure.ts';
import { sourceOf } from './page-source.ts';
import { inReadingOrder, linesOf } from './page-text.ts';
import type { FromThread, PageWish, PdfPageContent, ToThread } from './pdf-messages.ts';
import { PdfDocument, UnreadableDocumentError } from './pdf-document.ts';
import { type PdfPage, UnreadablePageError } from './pdf-page.ts';
import { type CompiledCode, heapBytes, startPdfium, type Pdfium } from './pdfium.ts';
import { MAX_CHARACTERS, readWords } from './words.ts';

const POINTS_PER_INCH = 72;
/** Enough to see whether there is anything on a page. */
const INK_PIXELS_PER_POINT = 0.5;
const MAX_INK_PIXELS = 1_000_000;
/** Darker than this is ink. */
const WHITISH = 200;

const port = parentPort;
if (port === null) throw new Error('this is the entry point of a thread');

let pdfium: Pdfium;
let document: PdfDocument;

port.on('message', (message: ToThread) => void answer(message));

async function answer(message: ToThread): Promise<void> {
  const reply = message.type === 'open' ? await open(message) : read(message.index, message.wish);
  const isImage = reply.type === 'page' && reply.page.source === 'ocr';
  port?.postMessage(reply, isImage ? [reply.page.image.data.buffer as ArrayBuffer] : []);
}

async function open({
  document: given,
  password,
}: Extract<ToThread, { type: 'open' }>): Promise<FromThread> {
  pdfium = await startPdfium(workerData as CompiledCode);
  try {
    document =
      given instanceof Uint8Array
        ? PdfDocument.open(pdfium, given.length, (target) => target.set(given), password)
        : openFile(given.path, password);
    return { type: 'opened', pageCount: document.pageCount };
  } catch (error) {
    if (error instanceof UnreadableDocumentError) return { type: 'refused', reason: error.reason };
    throw error;
  }
}

/** Its bytes go straight into PDFium's memory. */
function openFile(path: string, password: string): PdfDocument {
  const file = openSync(path, 'r');
  try {
    const write = (target: Uint8Array): void => {
      for (let at = 0; at < target.length;) {
        const count = readSync(file, target, at, target.length - at, at);
        if (count === 0) throw new Error(`${path} has become shorter`);
        at += count;
      }
    };
    return PdfDocument.open(pdfium, fstatSync(file).size, write, password);
  } finally {
    closeSync(file);
  }
}

/** Whatever PDFium throws beside a refusal ends the thread: nobody knows what is left of it. */
function read(index: number, wish: PageWish): FromThread {
  try {
    const page = document.withPage(index, (opened) => readPage(opened, wish));
    return { type: 'page', page, heapBytes: heapBytes(pdfium) };
  } catch (error) {
    if (!(error instanceof UnreadablePageError)) throw error;
    return { type: 'page_failed', error: { code: error.code, message: messageOf(error) } };
  }
}

function readPage(page: PdfPage, wish: PageWish): PdfPageContent {
  const { width, height, rotation } = page;
  const seen = { width, height, rotation };
  if (wish.mode === 'ocr') return { ...seen, source: 'ocr', image: rendered(page, wish) };
  const { words, facts } = readWords(page.characters(), page);
  if (facts.characters > MAX_CHARACTERS) {
    throw new UnreadablePageError(
      'page_too_large',
      `the page has more than ${MAX_CHARACTERS} characters`,
    );
  }
  const source =
    wish.mode === 'text'
      ? sourceOf({ ...facts, unmapped: 0, imageCoverage: 0, ink: () => 0 })
      : sourceOf({ ...facts, imageCoverage: page.images().coverage, ink: () => inkOf(page, wish) });
  if (source === 'ocr') return { ...seen, source, image: rendered(page, wish) };
  return { ...seen, source, content: inReadingOrder(linesOf(words)) };
}

/** As large as is asked for, or as it may be. */
function rendered(page: PdfPage, { dpi, maxPagePixels, maxImagePixels }: PageWish) {
  requireSmallImages(page, maxImagePixels);
  const wanted = dpi / POINTS_PER_INCH;
  return page.render(Math.min(wanted, Math.sqrt(maxPagePixels / (page.width * page.height))));
}

/** The share of the page that is not white. */
function inkOf(page: PdfPage, { maxImagePixels }: PageWish): number {
  requireSmallImages(page, maxImagePixels);
  const most = Math.sqrt(MAX_INK_PIXELS / (page.width * page.height));
  const { data } = page.render(Math.min(INK_PIXELS_PER_POINT, most));
  let dark = 0;
  for (const value of data) if (value < WHITISH) dark += 1;
  return dark / data.length;
}

/** An image is unpacked before it is made smaller, and PDFium leaves out what it has no memory for without a word. */
function requireSmallImages(page: PdfPage, maxPixels: number): void {
  const { largestPixels } = page.images();
  if (largestPixels <= maxPixels) return;
  const message = `an image on the page has ${largestPixels} pixels, more than the ${maxPixels} allowed`;
  throw new UnreadablePageError('image_too_large', message);
}
