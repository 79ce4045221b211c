/* What the failure of an activity tells of its attempts. */
import {
  defaultFailureConverter,
  defaultPayloadConverter,
  RetryState,
  TimeoutType,
} from '@temporalio/common';
import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  TimeoutFailure,
} from '@temporalio/workflow';
import type { AttemptReport, FailureDetail, InferHeartbeat } from '../contract/failure.ts';
import type { WorkSoFar } from '../contract/work.ts';

/** What is known of the latest attempt. Nobody knows when it began if its worker died before its first heartbeat. */
export type LatestAttempt = Pick<AttemptReport, 'attempt' | 'deaths' | 'alone'> & {
  readonly started_at: string | null;
  /** What is done; null: nothing. */
  readonly partial: WorkSoFar | null;
};

/** What the failure of an activity tells of its latest attempt; `before` when it never started one. */
export function latestIn(error: unknown, before: LatestAttempt | null): LatestAttempt | null {
  if (!(error instanceof ActivityFailure)) return before;
  const { cause } = error;
  const report = reportIn(cause);
  if (report !== null) return report;
  if (!(cause instanceof TimeoutFailure) || !hasStarted(error, cause)) return before;
  const { attempt = 0, deaths = 0, alone = false, partial = null } = before ?? {};
  return { attempt: attempt + 1, deaths, alone, started_at: null, partial };
}

/**
 * Whether a worker took what timed out: the attempt that was open then, or one before it, which has
 * left its failure behind.
 */
export function hasStarted({ failure }: ActivityFailure, timeout: TimeoutFailure): boolean {
  const startedEventId = Number(failure?.activityFailureInfo?.startedEventId ?? 0);
  return startedEventId > 0 || failureBehind(timeout) !== undefined;
}

/** What the latest attempt told of itself, in its failure or in its last heartbeat. */
function reportIn(cause: unknown): LatestAttempt | null {
  if (cause instanceof TimeoutFailure) {
    const heartbeat = cause.lastHeartbeatDetails as InferHeartbeat | undefined;
    if (heartbeat === undefined) return reportIn(failureBehind(cause));
    return { ...heartbeat.report, partial: heartbeat.partial };
  }
  if (cause instanceof ApplicationFailure || cause instanceof CancelledFailure) {
    const [report, detail] = (cause.details ?? []) as [AttemptReport?, FailureDetail?];
    return report === undefined ? null : { ...report, partial: detail?.partial ?? null };
  }
  return null;
}

/** How the attempt before it failed: the SDK leaves that out of a timeout's `cause`. */
function failureBehind(timeout: TimeoutFailure): Error | undefined {
  const behind = timeout.failure?.cause ?? undefined;
  return behind && defaultFailureConverter.failureToError(behind, defaultPayloadConverter);
}

export const isTimeout = (error: unknown, type: TimeoutType): boolean =>
  error instanceof ActivityFailure &&
  error.cause instanceof TimeoutFailure &&
  error.cause.timeoutType === type;

/** Whether the deadline has passed, in each form that Temporal reports it. */
export const isDeadline = (error: unknown): boolean =>
  isTimeout(error, TimeoutType.SCHEDULE_TO_CLOSE) ||
  (error instanceof ActivityFailure && error.retryState === RetryState.TIMEOUT);
