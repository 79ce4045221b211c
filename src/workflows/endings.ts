/* How a prediction ends: the second half of its record. */
import { TimeoutType } from '@temporalio/common';
import { ActivityFailure, ApplicationFailure } from '@temporalio/workflow';
import { type FailureCode, isFailureCode } from '../contract/failure.ts';
import type { InferResult } from '../contract/messages.ts';
import { type Accepted, type Ended, predictionError } from '../contract/prediction.ts';
import { isDeadline, isTimeout, type LatestAttempt } from './attempts.ts';

export const succeeded = ({ output, report, metrics }: InferResult): Ended => ({
  status: 'succeeded',
  output,
  ...end(report),
  metrics,
});

export function failed(error: unknown, latest: LatestAttempt | null): Ended {
  if (isDeadline(error)) return deadlinePassed(latest);
  if (isTimeout(error, TimeoutType.START_TO_CLOSE)) {
    return failure(
      'run_timeout',
      'the attempt was given up: its worker no longer answered',
      latest,
    );
  }
  const cause = error instanceof ActivityFailure ? error.cause : error;
  const message = cause instanceof Error ? cause.message : String(cause);
  const code = cause instanceof ApplicationFailure ? (cause.type ?? '') : '';
  return failure(isFailureCode(code) ? code : 'internal', message, latest);
}

function failure(code: FailureCode, message: string, latest: LatestAttempt | null): Ended {
  const error = predictionError(code, message, latest?.attempt ?? 0);
  return { status: 'failed', error, ...end(latest) };
}

export function canceled(latest: LatestAttempt | null): Ended {
  return { status: 'canceled', ...end(latest) };
}

/** The deadline has passed. The prediction is `aborted` when no attempt ever ran, else `failed`. */
export function deadlinePassed(latest: LatestAttempt | null): Ended {
  const message = 'the deadline passed before there was a result';
  if (latest !== null) return failure('deadline_exceeded', message, latest);
  return {
    status: 'aborted',
    error: predictionError('deadline_exceeded', message, 0),
    ...end(null),
  };
}

export function neverStarted(accepted: Accepted): Ended {
  const message = `no worker started it within its queue_ttl of ${accepted.queue_ttl}`;
  return { status: 'aborted', error: predictionError('queue_timeout', message, 0), ...end(null) };
}

const end = (latest: LatestAttempt | null) => ({
  attempt: latest?.attempt ?? 0,
  started_at: latest?.started_at ?? null,
  completed_at: new Date().toISOString(),
});
