/* How a prediction ends: the second half of its record. */
import { TimeoutType } from '@temporalio/common';
import { ActivityFailure, ApplicationFailure } from '@temporalio/workflow';
import { type FailureCode, type FailureDetail, isFailureCode } from '../contract/failure.ts';
import type { InferResult } from '../contract/messages.ts';
import { type Accepted, type Ended, predictionError } from '../contract/prediction.ts';
import { isDeadline, isTimeout, type LatestAttempt } from './attempts.ts';

export const LATE = 'the deadline passed before there was a result';

export const succeeded = ({ output, images, report, metrics, since }: InferResult): Ended => ({
  status: 'succeeded',
  output,
  ...(images === undefined ? {} : { images }),
  ...end(report),
  metrics,
  ...(since === undefined ? {} : { since }),
});

export function failed(error: unknown, latest: LatestAttempt | null): Ended {
  if (isDeadline(error)) return deadlinePassed(latest);
  const { code, message, reason } = failureIn(error);
  return failure(code, message, latest, reason);
}

/** What the failure of an activity says. */
export function failureIn(error: unknown): {
  readonly code: FailureCode;
  readonly message: string;
  readonly reason: string | null;
} {
  if (isDeadline(error)) return { code: 'deadline_exceeded', message: LATE, reason: null };
  if (isTimeout(error, TimeoutType.START_TO_CLOSE)) {
    const message = 'the attempt was given up: its worker no longer answered';
    return { code: 'run_timeout', message, reason: null };
  }
  const cause = error instanceof ActivityFailure ? error.cause : error;
  const message = cause instanceof Error ? cause.message : String(cause);
  if (!(cause instanceof ApplicationFailure)) return { code: 'internal', message, reason: null };
  const [, detail] = (cause.details ?? []) as [unknown?, FailureDetail?];
  const code = cause.type ?? '';
  const reason = detail?.reason ?? null;
  return { code: isFailureCode(code) ? code : 'internal', message, reason };
}

function failure(
  code: FailureCode,
  message: string,
  latest: LatestAttempt | null,
  reason: string | null = null,
): Ended {
  const error = predictionError(code, message, latest?.attempt ?? 0, reason);
  return { status: 'failed', error, ...end(latest), ...partialOf(latest) };
}

export function canceled(latest: LatestAttempt | null): Ended {
  return { status: 'canceled', ...end(latest), ...partialOf(latest) };
}

/** The deadline has passed. The prediction is `aborted` when no attempt ever ran, else `failed`. */
export function deadlinePassed(latest: LatestAttempt | null): Ended {
  if (latest !== null) return failure('deadline_exceeded', LATE, latest);
  return {
    status: 'aborted',
    error: predictionError('deadline_exceeded', LATE, 0),
    ...end(null),
  };
}

export function neverStarted(accepted: Accepted): Ended {
  const message = `no worker started it within its queue_ttl of ${accepted.queue_ttl}`;
  return { status: 'aborted', error: predictionError('queue_timeout', message, 0), ...end(null) };
}

const partialOf = (latest: LatestAttempt | null) =>
  latest === null || latest.partial === null ? {} : { partial: latest.partial };

const end = (latest: Pick<LatestAttempt, 'attempt' | 'started_at'> | null) => ({
  attempt: latest?.attempt ?? 0,
  started_at: latest?.started_at ?? null,
  completed_at: new Date().toISOString(),
});
