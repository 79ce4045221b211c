/* The one place where an adapter's error becomes what Temporal retries or not. */
import { CancelledFailure, type Context } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import {
  messageOf,
  type AttemptReport,
  cutMessage,
  type FailureDetail,
  FAILURES,
  type FailureCode,
} from '../contract/failure.ts';
import { type ItemError, itemError } from '../contract/batch.ts';
import type { WorkSoFar } from '../contract/work.ts';
import {
  InferenceStoppedError,
  InvalidInputError,
  ModelCrashedError,
  ModelUnavailableError,
  OutOfMemoryError,
  OutputTooLargeError,
  RunTimeoutError,
} from '../runtime/runtime.ts';
import { SecretBoxError } from '../secrets/secret-box.ts';
import {
  PayloadCorruptError,
  PayloadNotFoundError,
  StorageError,
  StorageLimitError,
} from '../storage/payload-store.ts';

interface Translation {
  readonly code: FailureCode;
  readonly retryAfterMs?: number;
  /** It ran in a batch with others, so it may succeed alone. */
  readonly isShared?: boolean;
  /** Unexpected: the operator should see it in the worker's log. */
  readonly isSurprise?: boolean;
  /** What the client is told, where the error's own message is for the operator. */
  readonly message?: string;
  /** See `FailureDetail`. */
  readonly reason?: string | null;
}

function translate(error: unknown): Translation {
  if (error instanceof InvalidInputError) return { code: 'invalid_input', reason: error.reason };
  if (error instanceof OutputTooLargeError) return { code: 'output_too_large' };
  if (error instanceof RunTimeoutError) return { code: 'run_timeout', isShared: error.isShared };
  if (error instanceof OutOfMemoryError) {
    return { code: 'out_of_memory', isShared: error.isShared };
  }
  if (error instanceof ModelCrashedError) {
    return { code: 'model_crashed', isShared: error.isShared };
  }
  if (error instanceof ModelUnavailableError) {
    return { code: 'model_unavailable', retryAfterMs: error.retryAfterMs };
  }
  if (error instanceof InferenceStoppedError) return { code: 'worker_lost' };
  if (error instanceof PayloadNotFoundError) {
    const message = 'an input is no longer in the payload store: submit it again';
    return { code: 'payload_missing', isSurprise: true, message };
  }
  if (error instanceof PayloadCorruptError) {
    const message = 'an input in the payload store is not what was stored: submit it again';
    return { code: 'payload_corrupt', isSurprise: true, message };
  }
  if (error instanceof SecretBoxError) {
    const message = 'a secret option of the request cannot be opened: its worker lacks the key';
    return { code: 'payload_corrupt', isSurprise: true, message };
  }
  if (error instanceof StorageError || error instanceof StorageLimitError) {
    const message = 'the payload store cannot be used';
    return { code: 'storage_unavailable', isSurprise: true, message };
  }
  return { code: 'internal', isSurprise: true };
}

/** What the infer activity tells the workflow in its failure. */
export interface AttemptFacts {
  readonly report: AttemptReport;
  readonly partial: WorkSoFar | null;
}

/**
 * What the infer activity throws for `error`; `facts` travel along to the workflow. `isRetried`: another attempt may
 * help, whatever the code says.
 */
export function toApplicationFailure(
  error: unknown,
  { report, partial }: AttemptFacts,
  { isRetried }: { readonly isRetried?: true } = {},
): ApplicationFailure {
  const translation = translate(error);
  const { code, retryAfterMs, isShared = false, isSurprise = false, reason = null } = translation;
  return applicationFailure(code, translation.message ?? messageOf(error), {
    report,
    partial,
    reason,
    isShared: isShared || isRetried === true,
    isSurprise,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(isSurprise ? { cause: error as Error } : {}),
  });
}

/** A failure by its code, as the workflow reads it. */
export function applicationFailure(
  code: FailureCode,
  message: string,
  details: AttemptFacts & {
    readonly reason?: string | null;
    readonly isShared?: boolean;
    readonly isSurprise?: boolean;
    readonly retryAfterMs?: number;
    readonly cause?: Error;
  },
): ApplicationFailure {
  return ApplicationFailure.create({
    type: code,
    message: cutMessage(message),
    nonRetryable: !isRetried(code, details.isShared ?? false),
    details: detailsOf(details),
    ...(details.retryAfterMs === undefined ? {} : { nextRetryDelay: details.retryAfterMs }),
    ...(details.cause === undefined ? {} : { cause: details.cause }),
    ...(details.isSurprise === true ? {} : { category: ApplicationFailureCategory.BENIGN }),
  });
}

/** Why an item of a batch has no output. */
export function itemErrorOf(error: unknown): ItemError {
  const { code, message, reason } = translate(error);
  return itemError(code, message ?? messageOf(error), reason ?? null);
}

/** What the activities of a batch throw for `error`. */
export function chunkFailure(
  error: unknown,
  context: Context,
): ApplicationFailure | CancelledFailure {
  if (context.cancellationSignal.aborted) return stoppedFailure(context);
  const { code, message, retryAfterMs, isSurprise = false } = translate(error);
  return ApplicationFailure.create({
    type: code,
    message: cutMessage(message ?? messageOf(error)),
    nonRetryable: FAILURES[code].retried === false,
    ...(retryAfterMs === undefined ? {} : { nextRetryDelay: retryAfterMs }),
    ...(isSurprise ? { cause: error as Error } : { category: ApplicationFailureCategory.BENIGN }),
  });
}

/** Whether another inference of the same batch may have caused the failure. */
export const wasShared = (error: unknown): boolean =>
  (error instanceof ModelCrashedError ||
    error instanceof RunTimeoutError ||
    error instanceof OutOfMemoryError) &&
  error.isShared;

/** The details of a failure and of a cancellation. */
export const detailsOf = ({
  report,
  partial,
  reason = null,
}: AttemptFacts & { readonly reason?: string | null }): [AttemptReport, FailureDetail] => [
  report,
  { partial, reason },
];

const isRetried = (code: FailureCode, isShared: boolean): boolean => {
  const { retried } = FAILURES[code];
  return retried === 'if_shared' ? isShared : retried;
};

/** What an activity throws whose signal was aborted: canceled, or cut off with its worker. */
export const stoppedFailure = ({
  cancellationDetails,
}: Context): ApplicationFailure | CancelledFailure =>
  cancellationDetails?.workerShutdown === true
    ? plainFailure('worker_lost', 'its worker was shut down before it was done', true)
    : new CancelledFailure('canceled');

/** A failure by its code, of an activity that reports no attempts of an inference. */
export const plainFailure = (
  code: FailureCode,
  message: string,
  isRetried: boolean,
): ApplicationFailure =>
  ApplicationFailure.create({
    type: code,
    message: cutMessage(message),
    nonRetryable: !isRetried,
    category: ApplicationFailureCategory.BENIGN,
  });

/** What fetchInput throws when its server has enough to do: Temporal asks again at that time. */
export const originBusy = (origin: string, retryInMs: number): ApplicationFailure =>
  ApplicationFailure.create({
    type: 'origin_busy',
    message: `other inputs of ${origin} come first`,
    nextRetryDelay: Math.ceil(retryInMs),
    category: ApplicationFailureCategory.BENIGN,
  });
