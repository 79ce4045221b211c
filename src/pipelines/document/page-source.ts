/* Where the text of a page is to come from: the page itself, or OCR. */
import type { TextFacts } from './words.ts';

/** `hidden_text`: the page is a picture, and the text behind it is what an earlier OCR has read. */
export type PageSource = 'text' | 'hidden_text' | 'ocr' | 'blank';

export interface PageFacts extends TextFacts {
  /** The share of the page that its largest image covers. */
  readonly imageCoverage: number;
  /** The share of the page that is not white; asked only when it has no text. */
  readonly ink: () => number;
}

const MIN_INK = 0.0002;
const MAX_UNMAPPED = 0.1;
const MIN_HIDDEN = 0.9;
/** A picture of a page, on which somebody has stamped a few words. */
const PICTURE = { coverage: 0.7, characters: 200 } as const;

/** The rule; docs/documents.md says how often it is right. */
export function sourceOf({
  characters,
  unmapped,
  hidden,
  imageCoverage,
  ink,
}: PageFacts): PageSource {
  if (characters === 0) return ink() > MIN_INK ? 'ocr' : 'blank';
  if (unmapped > MAX_UNMAPPED * characters) return 'ocr';
  if (hidden > MIN_HIDDEN * characters) return 'hidden_text';
  const visible = characters - hidden;
  const isPicture = imageCoverage >= PICTURE.coverage && visible < PICTURE.characters;
  return isPicture ? 'ocr' : 'text';
}
