/* The pages of a document, of whatever format. */
import type { RgbImage } from '../shared/image.ts';
import type { PageText } from './page-text.ts';
import type { PageSource } from './page-source.ts';
import type { PageError } from './schema.ts';

export const POINTS_PER_INCH = 72;

/** A page as its document has it: its text, or the picture of it when it has to be read by OCR. */
export type PageContent<Image = RgbImage> = {
  /** In points, as the page is seen. */
  readonly width: number;
  readonly height: number;
  readonly rotation: number;
} & (
  | { readonly source: Exclude<PageSource, 'ocr'>; readonly content: PageText }
  | { readonly source: 'ocr'; readonly image: Image }
);

/** An open document. */
export interface Pages {
  readonly count: number;
  /** One page (from 1) at a time. Throws `PageFailure`, and the reason of the signal. */
  read(number: number, signal: AbortSignal): Promise<PageContent>;
  close(): Promise<void>;
}

export const pageTimeout = (timeoutMs: number): PageFailure =>
  new PageFailure({
    code: 'page_timeout',
    message: `the page was not read within ${timeoutMs / 1000} s`,
  });

/** A page that cannot be read. The others may well be. */
export class PageFailure extends Error {
  override readonly name = 'PageFailure';
  readonly code: PageError['code'];
  constructor({ code, message }: PageError) {
    super(message);
    this.code = code;
  }
}
