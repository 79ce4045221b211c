/* The messages between a model process and the thread in which it has PDFium. */
import type { PageContent } from './pages.ts';
import type { GreyImage } from './pdf-page.ts';
import type { PageError } from './schema.ts';

/** What is wanted of a page. */
export interface PageWish {
  readonly mode: 'auto' | 'text' | 'ocr';
  readonly dpi: number;
  /** A page is rendered with at most so many, smaller if need be. */
  readonly maxPagePixels: number;
  /** A page with a larger image is not rendered. */
  readonly maxImagePixels: number;
}

/** `open` comes first, and again for each further document; then one `read` at a time. */
export type ToThread =
  | {
      readonly type: 'open';
      readonly document: Uint8Array | { readonly path: string };
      readonly password: string;
    }
  | { readonly type: 'read'; readonly index: number; readonly wish: PageWish }
  /** The document is done with; there is no answer. */
  | { readonly type: 'close' };

export type FromThread =
  | { readonly type: 'opened'; readonly pageCount: number }
  | { readonly type: 'refused'; readonly reason: 'damaged' | 'password' }
  /** `grownBytes`: how much memory PDFium has taken since the document was opened. */
  | { readonly type: 'page'; readonly page: PdfPageContent; readonly grownBytes: number }
  | { readonly type: 'page_failed'; readonly error: PageError; readonly grownBytes: number };

/** A page before its picture has colours. */
export type PdfPageContent = PageContent<GreyImage>;
