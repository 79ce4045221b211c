/* One request for a prediction, whoever asks for it. */
import type { Readable } from 'node:stream';
import type { Claim } from '../contract/payload.ts';
import { invalidAt, toPointer } from '../contract/refusal.ts';
import type { ModelVersion } from '../models/repository.ts';
import { InvalidFieldError } from '../pipelines/index.ts';
import type { NormalRequest } from './request-schema.ts';
import type { Attachment } from './store-input.ts';

/** What is known of a request for a prediction before its body is read. */
export interface OrderHead {
  readonly tenant: string;
  /** The trace that it is part of (W3C), for everything that it causes. */
  readonly traceparent: string | null;
  readonly version: ModelVersion;
  /** Null: it is a new prediction, whatever was asked before. */
  readonly idempotencyKey: string | null;
}

/** Stores a file that came with a request. */
export type StoreFile = (field: string, body: Readable) => Promise<Claim>;

/** One request for a prediction. */
export interface PredictionOrder extends OrderHead {
  readonly request: NormalRequest;
  /** All of it but media, before any of our defaults: what a repetition is compared by. */
  readonly asSent: unknown;
  readonly attachment: Attachment | null;
}

/** The input in the one form that its model's schema describes; throws a problem. */
export const inputOf = (
  { schema }: ModelVersion,
  given: unknown,
): Readonly<Record<string, unknown>> => inField(() => schema.normalize(given));

/** Turns what is wrong with a field into a problem that says where. */
export function inField<T>(read: () => T, at: readonly string[] = ['input']): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof InvalidFieldError)) throw error;
    throw invalidAt(toPointer([...at, ...error.path]), error.message);
  }
}
