/*
 * What is said to somebody whose request cannot be done: by submission and records, which know no
 * HTTP, and by the API, which alone makes a status and headers of it (`api/http/problems.ts`).
 */
import type { FailureCode } from './failure.ts';

/** Failures of predictions share the vocabulary. */
export type RefusalCode =
  | Extract<
      FailureCode,
      'invalid_input' | 'model_unavailable' | 'storage_unavailable' | 'payload_corrupt' | 'internal'
    >
  | 'model_not_found'
  | 'not_found'
  | 'not_ready'
  | 'still_running'
  | 'not_changeable'
  | 'rate_limited'
  | 'storage_limit'
  | 'overloaded'
  | 'expired'
  | 'data_removed'
  | 'payload_too_large'
  | 'idempotency_mismatch'
  | 'engine_unavailable';

/** One thing wrong with a request; `pointer` is a JSON pointer (RFC 6901) into it. */
export interface RefusalDetail {
  readonly pointer: string;
  readonly detail: string;
}

export interface RefusalOptions extends ErrorOptions {
  readonly errors?: readonly RefusalDetail[];
  /** What else a program should know, such as the `prediction_id`. */
  readonly members?: Readonly<Record<string, string>>;
  /** After this time the same request may be accepted. */
  readonly retryAfterMs?: number;
}

/** A refusal names this many places at most: the first ones say what is wrong. */
export const MAX_ERRORS = 20;

/** A request that is refused. `message` says what happened and what to do. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: RefusalCode;
  readonly options: RefusalOptions;
  constructor(code: RefusalCode, message: string, options: RefusalOptions = {}) {
    super(message, options);
    this.code = code;
    this.options = options;
  }
}

/** A path as a JSON pointer (RFC 6901). */
export const toPointer = (path: readonly string[]): string =>
  path.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

/** Something is wrong at one place of a request. */
export const invalidAt = (pointer: string, detail: string): Refusal =>
  new Refusal('invalid_input', `${pointer || '(body)'}: ${detail}`, {
    errors: [{ pointer, detail }],
  });
