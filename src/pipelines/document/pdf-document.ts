import { PageFailure } from './pages.ts';
import { PdfPage } from './pdf-page.ts';
import { allocate, bytesAt, free, type Pdfium, type Pointer, Scratch } from './pdfium.ts';
import { UserUnits } from './user-units.ts';

/** FPDF_GetLastError; https://pdfium.googlesource.com/pdfium/+/main/public/fpdfview.h */
const NEEDS_PASSWORD = 4;
const AS_ON_SCREEN = 0; // FLAT_NORMALDISPLAY
/** FPDF_ANNOT_FREETEXT, STAMP and WIDGET (a field of a form). */
const WITH_TEXT = new Set([3, 13, 20]);
/** Those behind so many are not looked at. */
const MAX_ANNOTATIONS = 20_000;

/** A document that PDFium does not open. */
export class UnreadableDocumentError extends Error {
  override readonly name = 'UnreadableDocumentError';
  readonly reason: 'damaged' | 'password';
  constructor(reason: 'damaged' | 'password') {
    super(reason);
    this.reason = reason;
  }
}

/** An open document. It goes with its PDFium, which nobody uses for another one. */
export class PdfDocument {
  readonly #pdfium: Pdfium;
  readonly #document: Pointer;
  readonly #userUnits: UserUnits;

  private constructor(pdfium: Pdfium, document: Pointer, userUnits: UserUnits) {
    this.#pdfium = pdfium;
    this.#document = document;
    this.#userUnits = userUnits;
  }

  /** `write` puts the document's bytes where it is told. Throws `UnreadableDocumentError`. */
  static open(
    pdfium: Pdfium,
    size: number,
    write: (target: Uint8Array) => void,
    password: string,
  ): PdfDocument {
    const pointer = allocate(pdfium, size);
    write(bytesAt(pdfium, pointer, size));
    const document =
      pdfium.FPDF_LoadMemDocument(pointer, size, password) ||
      pdfium.FPDF_LoadMemDocument(pointer, size, ''); // it may need none
    if (document !== 0) {
      const bytes = bytesAt(pdfium, pointer, size);
      const mayHaveUserUnits = UserUnits.mayBeIn(bytes, versionOf(pdfium, document));
      const copy = mayHaveUserUnits ? copyOf(pdfium, document) : null;
      return new PdfDocument(pdfium, document, new UserUnits(copy));
    }
    const isLocked = pdfium.FPDF_GetLastError() === NEEDS_PASSWORD;
    free(pdfium, pointer);
    throw new UnreadableDocumentError(isLocked ? 'password' : 'damaged');
  }

  get pageCount(): number {
    return this.#pdfium.FPDF_GetPageCount(this.#document);
  }

  /** Opens a page (from 0) for as long as `use` takes. Throws `PageFailure`. */
  withPage<T>(index: number, use: (page: PdfPage) => T): T {
    const pdfium = this.#pdfium;
    const page = this.#load(index);
    if (page === 0) {
      throw new PageFailure({ code: 'page_damaged', message: 'the page cannot be opened' });
    }
    try {
      const userUnit = this.#userUnits.of(pdfium.EPDFPage_GetObjectNumber(page));
      return use(new PdfPage(pdfium, page, userUnit));
    } finally {
      pdfium.FPDF_ClosePage(page);
    }
  }

  /** Loads a page on which what annotations show, such as the text in a form, is part of the content. */
  #load(index: number): Pointer {
    const pdfium = this.#pdfium;
    const page = pdfium.FPDF_LoadPage(this.#document, index);
    if (page === 0 || !this.#hasText(page)) return page;
    pdfium.FPDFPage_Flatten(page, AS_ON_SCREEN);
    pdfium.FPDF_ClosePage(page);
    return pdfium.FPDF_LoadPage(this.#document, index);
  }

  /** Whether a page has annotations that may show text; links do not. */
  #hasText(page: Pointer): boolean {
    const pdfium = this.#pdfium;
    const count = pdfium.FPDFPage_GetAnnotCount(page);
    for (let index = 0; index < Math.min(count, MAX_ANNOTATIONS); index++) {
      const annotation = pdfium.FPDFPage_GetAnnot(page, index);
      const subtype = pdfium.FPDFAnnot_GetSubtype(annotation);
      pdfium.FPDFPage_CloseAnnot(annotation);
      if (WITH_TEXT.has(subtype)) return true;
    }
    return false;
  }
}

/** 17 for PDF 1.7; 0: it does not say. */
function versionOf(pdfium: Pdfium, document: Pointer): number {
  const scratch = new Scratch(pdfium);
  const isKnown = pdfium.FPDF_GetFileVersion(document, scratch.pointer);
  const version = isKnown ? scratch.integer(0) : 0;
  scratch.free();
  return version;
}

/** A document as PDFium writes it: every object in the clear. */
function copyOf(pdfium: Pdfium, document: Pointer): Buffer {
  const writer = pdfium.PDFiumExt_OpenFileWriter();
  pdfium.PDFiumExt_SaveAsCopy(document, writer);
  const size = pdfium.PDFiumExt_GetFileWriterSize(writer);
  const pointer = allocate(pdfium, size);
  pdfium.PDFiumExt_GetFileWriterData(writer, pointer, size);
  const copy = Buffer.from(bytesAt(pdfium, pointer, size));
  free(pdfium, pointer);
  pdfium.PDFiumExt_CloseFileWriter(writer);
  return copy;
}
