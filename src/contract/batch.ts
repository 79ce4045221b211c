/*
 * Terminology
 *
 * batch           many inputs for one model in one request and one workflow. Its id is the workflow's.
 * item            one line of a batch: an input with the client's `custom_id`. It is no prediction: it has no id, no
 *                 webhook and no record of its own.
 * chunk           some items that follow each other and are run by one activity, which stops after a while.
 * result          the line that tells what became of an item.
 */
import { cutMessage, FAILURES, type FailureCode } from './failure.ts';
import type { Claim, Json } from './payload.ts';
import type { QueueReason, TokenCount } from './prediction.ts';
import { expiresAtMs } from './prediction-record.ts';
import { type AcceptedRequest, type RequestMembers, requestMembers } from './accepted-request.ts';

/** The items of a batch, as they lie in the store. */
export interface BatchItems {
  /** JSON Lines: https://jsonlines.org */
  readonly lines: Claim;
  /** Where items begin, and the hashes of the pieces between: see `batches/item-index.ts`. */
  readonly index: Claim;
  readonly total: number;
  /** Which fields of the items hold media, and of what kind; null: no item gives media by URL. */
  readonly fetches: Readonly<Record<string, string>> | null;
}

/** What is known of a batch when it is accepted; the memo key `accepted`. */
export interface AcceptedBatch extends AcceptedRequest {
  readonly items: BatchItems;
  /** What its request said in OpenAI's dialect; absent: it came in another. */
  readonly openai?: OpenAiBatch;
}

/** The endpoints whose requests may come in a batch, with what the ids of their answers begin with. */
export const OPENAI_ENDPOINTS = {
  '/v1/chat/completions': { prefix: 'chatcmpl-', object: 'chat.completion' },
  '/v1/completions': { prefix: 'cmpl-', object: 'text_completion' },
  '/v1/embeddings': { prefix: 'embd-', object: 'list' },
} as const;

/** What a request for a batch said in OpenAI's dialect. */
export interface OpenAiBatch {
  readonly endpoint: keyof typeof OPENAI_ENDPOINTS;
  readonly input_file_id: string;
  readonly completion_window: string;
}

/** Files with the results of a batch: of what has succeeded, and of the rest. Null: there is none of it. */
export interface ResultFiles {
  readonly output: string | null;
  readonly errors: string | null;
}

/** When a batch is not given one: the last of 1 to 5. */
export const BATCH_PRIORITY = 5;

/** Items from the one with the number `from`, counted from 0, up to the one before `to`. */
export interface ItemRange {
  readonly from: number;
  readonly to: number;
}

export interface ItemCounts {
  readonly succeeded: number;
  readonly failed: number;
}

/** How far a batch has come; the memo key `progress`, written when a chunk has ended. */
export interface BatchProgress {
  readonly counts: ItemCounts;
  /** When its first chunk was begun, and when its latest one ended; RFC 3339. */
  readonly started_at: string;
  readonly updated_at: string;
}

/** Why one item has no output. */
export interface ItemError {
  readonly code: FailureCode;
  readonly message: string;
  readonly retryable: boolean;
  /** What is wrong with an invalid input, in one word for programs; null: nothing that has a word. */
  readonly reason: string | null;
}

export const itemError = (
  code: FailureCode,
  message: string,
  reason: string | null = null,
): ItemError => ({
  code,
  message: cutMessage(message),
  retryable: FAILURES[code].retryable,
  reason,
});

/** A line of the output. Lines are in the order of the items. */
export interface ItemResult {
  readonly custom_id: string;
  readonly index: number;
  readonly status: 'succeeded' | 'failed' | 'canceled';
  readonly output: Json;
  readonly error: ItemError | null;
  /** Absent: its model counts none. */
  readonly tokens?: TokenCount;
}

interface EndedBatchBase {
  readonly counts: ItemCounts;
  readonly started_at: string | null;
  readonly completed_at: string;
  /** Null: no item was done, or the results could not be put together. */
  readonly output: Claim | null;
  /** The ids of the files that hold the results in OpenAI's dialect; absent: it came in another. */
  readonly files?: ResultFiles;
}

/** What is known of a batch when it has ended; the memo key `ended`. It succeeds also when items have failed. */
export type EndedBatch =
  | (EndedBatchBase & { readonly status: 'succeeded' | 'canceled' })
  | (EndedBatchBase & { readonly status: 'failed' | 'aborted'; readonly error: ItemError });

/** The wire object. Every member is always present; it is final exactly when `completed_at` is not null. */
export interface Batch extends RequestMembers {
  readonly object: 'batch';
  readonly status: 'queued' | 'processing' | 'canceling' | EndedBatch['status'];
  readonly request_counts: ItemCounts & { readonly total: number; readonly canceled: number };
  readonly progress: {
    /** 0 to 1. */
    readonly fraction: number;
    readonly message: string;
    /** Items a second since the first chunk was begun; null: none has ended yet. */
    readonly items_per_s: number | null;
    /** How long the rest will take at that rate; null: nobody can tell. */
    readonly eta_s: number | null;
  } | null;
  readonly queue: { readonly depth: number | null; readonly reason: QueueReason | null } | null;
  readonly output_url: string | null;
  readonly output_bytes: number | null;
  readonly error: ItemError | null;
  readonly started_at: string | null;
  readonly completed_at: string | null;
  readonly expires_at: string | null;
}

export const isFinalBatch = (batch: Batch): boolean => batch.completed_at !== null;

export const batchUrl = (publicUrl: string, id: string): string => `${publicUrl}/v1/batches/${id}`;

/** The members that a batch has whatever its status. */
export function batchBase(accepted: AcceptedBatch, publicUrl: string) {
  const { id, ...others } = requestMembers(accepted, batchUrl(publicUrl, accepted.id));
  return { id, object: 'batch', ...others } as const;
}

/** The record of a batch that has ended. */
export function finalBatch(accepted: AcceptedBatch, ended: EndedBatch, publicUrl: string): Batch {
  const { total } = accepted.items;
  const { succeeded, failed } = ended.counts;
  const undone = total - succeeded - failed;
  const counts =
    ended.status === 'canceled'
      ? { succeeded, failed, canceled: undone }
      : { succeeded, failed: failed + undone, canceled: 0 };
  const base = batchBase(accepted, publicUrl);
  return {
    ...base,
    status: ended.status,
    request_counts: { total, ...counts },
    progress: null,
    queue: null,
    output_url: ended.output === null ? null : base.urls.output,
    output_bytes: ended.output?.bytes ?? null,
    error: ended.status === 'failed' || ended.status === 'aborted' ? ended.error : null,
    started_at: ended.started_at,
    completed_at: ended.completed_at,
    expires_at: new Date(expiresAtMs(accepted, ended)).toISOString(),
  };
}

const S_PER_MS = 1000;

/** How far a batch that runs has come. */
export function progressOf(
  { items: { total } }: AcceptedBatch,
  progress: BatchProgress | null,
): Pick<Batch, 'request_counts' | 'progress' | 'started_at'> {
  const { succeeded, failed } = progress?.counts ?? { succeeded: 0, failed: 0 };
  const done = succeeded + failed;
  const sinceS = progress === null ? 0 : elapsedS(progress);
  const rate = done === 0 || sinceS <= 0 ? null : done / sinceS;
  return {
    request_counts: { total, succeeded, failed, canceled: 0 },
    progress: {
      fraction: total === 0 ? 0 : done / total,
      message: `${done} of ${total} items`,
      items_per_s: rate === null ? null : Math.round(rate * 100) / 100,
      eta_s: rate === null ? null : Math.ceil((total - done) / rate),
    },
    started_at: progress?.started_at ?? null,
  };
}

const elapsedS = ({ started_at: from, updated_at: to }: BatchProgress): number =>
  (Date.parse(to) - Date.parse(from)) / S_PER_MS;
