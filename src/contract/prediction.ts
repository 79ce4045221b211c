/*
 * Terminology
 *
 * prediction      one durable request: its record and its workflow. Its id is the workflow id.
 * inference       the act of running a model on inputs; `infer` is the activity that does it.
 * attempt         one execution of the infer activity.
 * accepted/ended  the two halves of a record: what is known at acceptance, and what is known at
 *                 the end. Each is written once, into the workflow's memo; the first anew when
 *                 the prediction is given other terms.
 * record          the wire object a client reads; computed from those two and, while it runs,
 *                 from what Temporal says of the workflow.
 * payload, claim  bytes in the payload store, and what the engine holds instead of them.
 */
import type { AcceptedRequest, RequestMembers } from './accepted-request.ts';
import { cutMessage, FAILURES, type FailureCode } from './failure.ts';
import { type Claim, type Json, jsonBytes, type Stored } from './payload.ts';
import type { PreviewPlace, WorkSoFar } from './work.ts';

/** An input field as it was accepted; one that is given by URL is fetched before the inference. */
export type AcceptedInput = Stored | { readonly kind: 'url'; readonly source: InputSource };

/** The URL of an input, and the kind of media that it must turn out to be. */
export interface InputSource {
  readonly url: string;
  readonly media: string;
}

/** What is known of a prediction when it is accepted; the memo key `accepted`. */
export interface Accepted extends AcceptedRequest {
  readonly input: Readonly<Record<string, AcceptedInput>>;
  /** Options that nobody may see but the model: sealed, in the store; absent: none. */
  readonly secrets?: Claim;
  /** What its request said in another dialect that its record there repeats; absent: nothing. */
  readonly asked?: Readonly<Record<string, Json>>;
}

export interface PredictionError {
  readonly code: FailureCode;
  readonly message: string;
  /** The same input may succeed as a new prediction. */
  readonly retryable: boolean;
  /** The attempt that failed; 0 when none ever started. */
  readonly attempt: number;
  /** What is wrong with an invalid input, in one word for programs; null: nothing that has a word. */
  readonly reason: string | null;
}

export interface Metrics {
  /** From acceptance to the start of the attempt that succeeded. */
  readonly queue_ms: number;
  /** How long that one waited for its model to be loaded; null when it was loaded. */
  readonly load_ms: number | null;
  /** What else it did in the worker: reading the input, waiting for its turn, storing the output. */
  readonly wait_ms: number;
  readonly inference_ms: number;
  /** From acceptance to the output: the sum of those before. */
  readonly total_ms: number;
  readonly batch_size: number;
  readonly device: string;
  readonly worker: string;
  /** Null: the model does not count tokens. */
  readonly tokens: TokenCount | null;
}

/** The tokens that a model has read and written. */
export interface TokenCount {
  readonly prompt: number;
  readonly completion: number;
  /** How many it wrote a second, without the reading of the prompt; null: it wrote fewer than two. */
  readonly per_second: number | null;
}

interface EndedBase {
  readonly attempt: number;
  readonly started_at: string | null;
  readonly completed_at: string;
  /** The inputs that were given by URL, once they lay in the store. */
  readonly fetched?: Readonly<Record<string, Claim>>;
}

/** What is known of a prediction when it has ended; the memo key `ended`. */
export type Ended =
  | (EndedBase & {
      readonly status: 'succeeded';
      readonly output: Stored;
      /** The images that the output tells of; absent: it tells of none. */
      readonly images?: readonly Claim[];
      readonly metrics: Metrics;
      /** See `WorkSoFar`; absent: 1, or its model does not tell its work. */
      readonly since?: number;
    })
  | (EndedBase &
      WithPartial & { readonly status: 'failed' | 'aborted'; readonly error: PredictionError })
  | (EndedBase & WithPartial & { readonly status: 'canceled' });

interface WithPartial {
  /** What was done by then; absent: nothing. */
  readonly partial?: WorkSoFar;
}

/**
 * The output so far of a model that tells it while it runs: its text, or where the pages of a document or the latest
 * preview of an image are.
 */
export type PartialOutput = PartialText | PartialPages | PartialImage;

interface PartialImage extends PreviewPlace {
  /** The attempt that told it. */
  readonly attempt: number;
  /** The preview itself. */
  readonly url: string;
}

interface PartialPages {
  /** The attempt that told it. */
  readonly attempt: number;
  readonly pages_done: number;
  /** The pages that are done, as JSON Lines. */
  readonly url: string;
}

export interface PartialText {
  /** The attempt that told it. */
  readonly attempt: number;
  /** Where `text` begins in all the text so far, in UTF-16 code units: 0 unless the rest is too large to be shown. */
  readonly offset: number;
  readonly text: string;
}

export interface Progress {
  /** 0 to 1. */
  readonly fraction: number;
  readonly message: string;
}

/** Why a queued prediction waits. */
export const QUEUE_REASONS = [
  'no_worker',
  'model_loading',
  'model_unavailable',
  'capacity',
  'retrying',
  'fetching_input',
  'scheduled',
  'paused',
] as const;

export type QueueReason = (typeof QUEUE_REASONS)[number];

/** Media or a larger value of an input, as a record shows it. */
export interface InputReference {
  /** The URL at which the API serves it. */
  readonly url: string;
  /** These three are null while it has yet to be fetched, and for a key that may not read. */
  readonly bytes: number | null;
  readonly sha256: string | null;
  readonly media_type: string | null;
  /** Where it was fetched from, when the request gave a URL. */
  readonly source_url?: string;
}

/** What a record says whatever its status. */
export interface RecordBase extends RequestMembers {
  readonly object: 'prediction';
  readonly input: Readonly<Record<string, Json | InputReference>>;
  /** Null unless its model tells its output while it runs, and in a record that succeeded. */
  readonly partial_output: PartialOutput | null;
  /** The latest attempt; 0 before the first. */
  readonly attempt: number;
  readonly started_at: string | null;
}

interface Running {
  readonly output: null;
  readonly output_url: null;
  readonly error: null;
  readonly metrics: null;
  readonly completed_at: null;
  readonly expires_at: null;
}

interface Final {
  readonly progress: null;
  readonly queue: null;
  readonly completed_at: string;
  readonly expires_at: string;
}

/**
 * The wire object: the body of GET and an element of a list. Every member is always present; what
 * does not apply is null. It is final exactly when `completed_at` is not null.
 */
export type Prediction = RecordBase &
  (
    | (Running & {
        readonly status: 'queued';
        readonly progress: null;
        readonly queue: { readonly depth: number | null; readonly reason: QueueReason | null };
      })
    | (Running & {
        readonly status: 'processing' | 'canceling';
        readonly progress: Progress | null;
        readonly queue: null;
      })
    | (Final & {
        readonly status: 'succeeded';
        /** Null when it is too large to be answered inline: then `output_url` leads to it. */
        readonly output: Json;
        readonly output_url: string | null;
        readonly error: null;
        readonly metrics: Metrics;
      })
    | (Final & {
        readonly status: 'failed' | 'aborted';
        readonly output: null;
        readonly output_url: null;
        readonly error: PredictionError;
        readonly metrics: null;
      })
    | (Final & {
        readonly status: 'canceled';
        readonly output: null;
        readonly output_url: null;
        readonly error: null;
        readonly metrics: null;
      })
  );

export const isFinal = (prediction: Prediction): boolean => prediction.completed_at !== null;

/** From then on it waits, and its deadline counts. */
export const startsAt = (
  of: Pick<AcceptedRequest, 'created_at'> & { start_after?: string | null },
) => of.start_after ?? of.created_at;

/** When a prediction is not given one: the middle of 1 to 5. */
export const DEFAULT_PRIORITY = 3;

/** The error member of a record; never too long for a memo. */
export const predictionError = (
  code: FailureCode,
  message: string,
  attempt: number,
  reason: string | null = null,
): PredictionError => ({
  code,
  message: cutMessage(message),
  retryable: FAILURES[code].retryable,
  attempt,
  reason,
});

/** A memo over 2 MiB would fail the workflow task for ever, so each half has a limit far below. */
export const MAX_ACCEPTED_BYTES = 24 * 1024;

export const acceptedBytes = (accepted: AcceptedRequest): number =>
  jsonBytes(accepted as unknown as Json);
