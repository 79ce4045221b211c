/*
 * Work that comes in parts: the tokens of a text, the pages of a document. What is done is kept while the rest is
 * computed, so that clients can see it and the next attempt need not do it again.
 */
import { type Claim, type Json, jsonBytes } from './payload.ts';

/**
 * A part of an inference's work, or several parts in one. Two parts are joined member by member: texts and arrays
 * follow each other, of anything else the later value counts.
 */
export type Part = Readonly<Record<string, Json>>;

/** The name of the member whose text clients see while it grows. */
const TEXT = 'text';

/** What is done of an inference, as heartbeats, failures and memos hold it. */
export interface WorkSoFar {
  /** The attempt that told it, counted as in reports. */
  readonly attempt: number;
  /** The attempt that began with nothing: all since then have gone on with the work before them. */
  readonly since: number;
  /** Of the input, the options and the model's files: other work is never gone on with. */
  readonly key: string;
  /** What lies in the store: a part, as JSON; null when nothing does. */
  readonly head: Claim | null;
  /** The parts in the store that follow it; absent: none. */
  readonly more?: readonly Claim[];
  /** How much text lies in the store, in UTF-16 code units. */
  readonly offset: number;
  /** What has come since; null when nothing has. */
  readonly tail: Part | null;
  /** How many pages are done; absent: the work has none. */
  readonly pages?: number;
  /** What the latest preview shows; absent: there is none. */
  readonly preview?: PreviewPlace;
}

/** Of which image (from 0) a preview is, and after how many of its steps. */
export interface PreviewPlace {
  readonly image: number;
  readonly step: number;
}

/** The parts that lie in the store, in their order. */
export const storedParts = ({ head, more = [] }: WorkSoFar): readonly Claim[] =>
  head === null ? [] : [head, ...more];

/** How many bytes of some work lie in the store. */
export const storedBytes = (work: WorkSoFar): number =>
  storedParts(work).reduce((sum, { bytes }) => sum + bytes, 0);

/** Two parts as one. */
export function joined(before: Part | null, next: Part): Part {
  if (before === null) return next;
  const both = Object.entries(next).map(([name, value]): [string, Json] => {
    const earlier = Object.hasOwn(before, name) ? before[name] : undefined;
    if (typeof earlier === 'string' && typeof value === 'string') return [name, earlier + value];
    if (Array.isArray(earlier) && Array.isArray(value)) {
      return [name, [...(earlier as readonly Json[]), ...(value as readonly Json[])]];
    }
    return [name, value];
  });
  return { ...before, ...Object.fromEntries(both) };
}

/** The name of the member that lists the pages of a document. */
const PAGES = 'pages';

/** The pages in a part; null: it is of no document. */
export function pagesOf(part: Part | null): readonly Json[] | null {
  const pages = part?.[PAGES];
  return Array.isArray(pages) ? (pages as readonly Json[]) : null;
}

/** The name of the member that is a picture of what an image is going to be. */
const PREVIEW = 'preview';

/** A picture of what an image is going to be. */
export interface Preview extends PreviewPlace {
  readonly media_type: string;
  /** In base64. */
  readonly data: string;
}

/** The preview in a part; null: it has none that can be shown. */
export function previewOf(part: Part | null): Preview | null {
  const found = part?.[PREVIEW] as Partial<Preview> | null | undefined;
  const { image, step, media_type: mediaType, data } = found ?? {};
  const isPlace = Number.isInteger(image) && Number.isInteger(step);
  const isPicture = typeof data === 'string' && IMAGE_TYPE.test(String(mediaType));
  return isPlace && isPicture ? (found as Preview) : null;
}

const IMAGE_TYPE = /^image\/(?:png|webp|jpeg)$/;

/** Whether a part carries the work on: a preview only shows it. */
export const isProgress = (part: Part): boolean =>
  Object.keys(part).some((name) => name !== PREVIEW);

/** The text of a part; empty when it has none. */
export function textOf(part: Part | null): string {
  const text = part?.[TEXT];
  return typeof text === 'string' ? text : '';
}

/** Whether some work is a text. */
export const isText = ({ offset, tail }: WorkSoFar): boolean =>
  offset > 0 || typeof tail?.[TEXT] === 'string';

/** Temporal keeps a failure of 4 KiB at most, whatever may lie elsewhere in the engine. */
export const MAX_FAILURE_TAIL_BYTES = 2048;

/** The work for a failure: without its tail if that is too large, which leaves all of the work up to some part. */
export function withSmallTail(work: WorkSoFar | null): WorkSoFar | null {
  if (work?.tail == null || jsonBytes(work.tail) <= MAX_FAILURE_TAIL_BYTES) return work;
  if (work.head === null) return null;
  const { tail, pages, preview, ...stored } = work;
  const untold = pagesOf(tail)?.length ?? 0;
  const isPreviewStored = preview !== undefined && previewOf(tail) === null;
  return {
    ...stored,
    tail: null,
    ...(pages === undefined ? {} : { pages: pages - untold }),
    ...(isPreviewStored ? { preview } : {}),
  };
}

/** Where the text of some work ends. */
export const endOf = ({ offset, tail }: WorkSoFar): number => offset + textOf(tail).length;
