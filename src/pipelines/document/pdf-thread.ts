/*
 * The entry point of the threads that read PDFs, one after the other. A hostile page may hang a thread or use up its
 * memory; then whoever owns the thread ends it and goes on with another one.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { sourceOf } from './page-source.ts';
import { textInOrder, linesOf } from './page-text.ts';
import type { FromThread, PageWish, PdfPageContent, ToThread } from './pdf-messages.ts';
import { PdfDocument, UnreadableDocumentError } from './pdf-document.ts';
import { PageFailure, POINTS_PER_INCH } from './pages.ts';
import type { PdfPage } from './pdf-page.ts';
import { type CompiledCode, heapBytes, startPdfium, type Pdfium } from './pdfium.ts';
import { MAX_CHARACTERS, readWords } from './words.ts';

/** Enough to see whether there is anything on a page. */
const INK_PIXELS_PER_POINT = 0.5;
const MAX_INK_PIXELS = 1_000_000;
/** In pixels: a strip of paper is not rendered longer. */
const MAX_SIDE = 20_000;
/** Darker than this is ink. */
const WHITISH = 200;

const port = parentPort;
if (port === null) throw new Error('this is the entry point of a thread');

interface Open {
  readonly pdfium: Pdfium;
  readonly document: PdfDocument;
  /** What PDFium had taken when it had opened the document. */
  readonly heapBytes: number;
}

/** Null: no document is open. */
let opened: Open | null = null;

port.on('message', (message: ToThread) => void answer(message));

async function answer(message: ToThread): Promise<void> {
  if (message.type === 'close') {
    opened = null;
    return;
  }
  const reply = message.type === 'open' ? await open(message) : read(message.index, message.wish);
  const isImage = reply.type === 'page' && reply.page.source === 'ocr';
  port?.postMessage(reply, isImage ? [reply.page.image.data.buffer as ArrayBuffer] : []);
}

async function open({
  document: given,
  password,
}: Extract<ToThread, { type: 'open' }>): Promise<FromThread> {
  const pdfium = await startPdfium(workerData as CompiledCode);
  try {
    const document =
      given instanceof Uint8Array
        ? PdfDocument.open(pdfium, given.length, (target) => target.set(given), password)
        : openFile(pdfium, given.path, password);
    opened = { pdfium, document, heapBytes: heapBytes(pdfium) };
    return { type: 'opened', pageCount: document.pageCount };
  } catch (error) {
    if (error instanceof UnreadableDocumentError) return { type: 'refused', reason: error.reason };
    throw error;
  }
}

/** Its bytes go straight into PDFium's memory. */
function openFile(pdfium: Pdfium, path: string, password: string): PdfDocument {
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
  if (opened === null) throw new Error('a page is asked for, and no document is open');
  const { pdfium, document, heapBytes: before } = opened;
  const grownBytes = (): number => heapBytes(pdfium) - before;
  try {
    const page = document.withPage(index, (each) => readPage(each, wish));
    return { type: 'page', page, grownBytes: grownBytes() };
  } catch (error) {
    if (!(error instanceof PageFailure)) throw error;
    const { code, message } = error;
    return { type: 'page_failed', error: { code, message }, grownBytes: grownBytes() };
  }
}

function readPage(page: PdfPage, wish: PageWish): PdfPageContent {
  const { width, height, rotation } = page;
  const seen = { width, height, rotation };
  if (wish.mode === 'ocr') return { ...seen, source: 'ocr', image: rendered(page, wish) };
  const { words, facts } = readWords(page.characters(), page);
  if (facts.characters > MAX_CHARACTERS) {
    const message = `the page has more than ${MAX_CHARACTERS} characters`;
    throw new PageFailure({ code: 'page_too_large', message });
  }
  const source =
    wish.mode === 'text'
      ? sourceOf({ ...facts, unmapped: 0, imageCoverage: 0, ink: () => 0 })
      : sourceOf({ ...facts, imageCoverage: page.images().coverage, ink: () => inkOf(page, wish) });
  if (source === 'ocr') return { ...seen, source, image: rendered(page, wish) };
  return { ...seen, source, content: textInOrder(linesOf(words)) };
}

/** The page as large as is asked for, or as it may be. */
function rendered(page: PdfPage, { dpi, maxPagePixels, maxImagePixels }: PageWish) {
  requireSmallImages(page, maxImagePixels);
  return page.render(Math.min(dpi / POINTS_PER_INCH, largestScale(page, maxPagePixels)));
}

/** The share of the page that is not white. */
function inkOf(page: PdfPage, { maxImagePixels }: PageWish): number {
  requireSmallImages(page, maxImagePixels);
  const { data } = page.render(Math.min(INK_PIXELS_PER_POINT, largestScale(page, MAX_INK_PIXELS)));
  let dark = 0;
  for (const value of data) if (value < WHITISH) dark += 1;
  return dark / data.length;
}

/** In pixels per point. */
const largestScale = ({ width, height }: PdfPage, maxPixels: number): number =>
  Math.min(Math.sqrt(maxPixels / (width * height)), MAX_SIDE / Math.max(width, height));

/** An image is unpacked before it is made smaller, and PDFium leaves out what it has no memory for without a word. */
function requireSmallImages(page: PdfPage, maxPixels: number): void {
  const { largestPixels } = page.images();
  if (largestPixels <= maxPixels) return;
  const message = `an image on the page has ${largestPixels} pixels, more than the ${maxPixels} allowed`;
  throw new PageFailure({ code: 'image_too_large', message });
}
