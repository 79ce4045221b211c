import type { WorkSoFar } from './work.ts';

/**
 * The one list of ways a prediction can fail. `retried`: the workflow tries again by itself
 * (`if_shared`: only when it ran in a batch with others, and then alone); `retryable`: the same
 * input may succeed as a new prediction.
 */
export const FAILURES = {
  invalid_input: { retried: false, retryable: false },
  input_unavailable: { retried: true, retryable: true },
  model_unavailable: { retried: true, retryable: true },
  model_crashed: { retried: true, retryable: true },
  poison_input: { retried: false, retryable: false },
  run_timeout: { retried: 'if_shared', retryable: false },
  out_of_memory: { retried: 'if_shared', retryable: false },
  worker_lost: { retried: true, retryable: true },
  storage_unavailable: { retried: true, retryable: true },
  payload_missing: { retried: false, retryable: false },
  payload_corrupt: { retried: false, retryable: false },
  output_too_large: { retried: false, retryable: false },
  internal: { retried: false, retryable: false },
  queue_timeout: { retried: false, retryable: true },
  deadline_exceeded: { retried: false, retryable: true },
  terminated: { retried: false, retryable: true },
} as const satisfies Record<string, { retried: boolean | 'if_shared'; retryable: boolean }>;

/** Why a prediction failed, in one word. */
export type FailureCode = keyof typeof FAILURES;

export const isFailureCode = (text: string): text is FailureCode => Object.hasOwn(FAILURES, text);

/** The codes after which another attempt cannot help. */
export const TERMINAL_FAILURES: readonly FailureCode[] = (
  Object.keys(FAILURES) as FailureCode[]
).filter((code) => FAILURES[code].retried === false);

/** After so many deaths of model processes that ran only this input, the input is taken to be the cause. */
export const POISON_DEATHS = 3;

/** What an attempt reports of itself: in heartbeats, in its result and in the details of its failure. */
export interface AttemptReport {
  /** 1 for the first execution of the activity, counted over rescheduling. */
  readonly attempt: number;
  /** The same as Temporal counts it, from 1 for each time the activity is scheduled. */
  readonly activity_attempt: number;
  /** When it began, RFC 3339. */
  readonly started_at: string;
  /** The worker that ran it. */
  readonly worker: string;
  /** How many model processes died under this prediction so far while it ran alone. */
  readonly deaths: number;
  /** True: it failed in a shared batch, and from now on runs in a batch of its own. */
  readonly alone: boolean;
  readonly progress: { readonly fraction: number; readonly message: string } | null;
}

/**
 * The details of the infer activity's heartbeats. The partial is not part of the report, because results and
 * failures hold the report, and histories hold those.
 */
export interface InferHeartbeat {
  readonly report: AttemptReport;
  /** What is done so far; null: nothing, or the model does not tell. */
  readonly partial: WorkSoFar | null;
}

/** The second detail of the infer activity's failure, behind its report. */
export interface FailureDetail {
  readonly partial: WorkSoFar | null;
  /** What is wrong with an invalid input, in one word for programs; null: nothing that has a word. */
  readonly reason: string | null;
}

/** What the workflow tells a rescheduled activity about the earlier attempts. */
export interface EarlierAttempts {
  readonly attempts: number;
  readonly deaths: number;
  readonly alone: boolean;
  /** What they have done; absent or null: nothing. */
  readonly partial?: WorkSoFar | null;
}

const MAX_MESSAGE_CHARS = 1024;

/** Cuts a message so that it fits into a memo. */
export const cutMessage = (message: string): string =>
  message.length <= MAX_MESSAGE_CHARS ? message : `${message.slice(0, MAX_MESSAGE_CHARS - 1)}…`;

/** The message of a caught value. */
export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
