/*
 * Makes the state of a prediction that has not ended from Temporal's description of its workflow. The order
 * of the questions matters: see "Reading a running prediction" in ARCHITECTURE.md.
 */
import type { WorkflowExecutionDescription } from '@temporalio/client';
import type { AttemptReport } from '../contract/failure.ts';
import { MEMO_ATTEMPTS } from '../contract/messages.ts';
import type { Accepted, QueueReason } from '../contract/prediction.ts';
import type { WorkSoFar } from '../contract/work.ts';
import type { Engine } from './engine.ts';
import {
  ACTIVITY_PAUSED,
  ACTIVITY_SCHEDULED,
  FETCH_ACTIVITY,
  isWaiting,
  type PendingActivity,
  pendingIn,
} from './pending-activity.ts';

/** Before its first inference is scheduled a workflow has at most this much history … */
const QUEUED_HISTORY_LENGTH = 7;
/** … and so much more for each input that is fetched first. */
const FETCH_HISTORY_LENGTH = 6;

/**
 * `report` is what the current attempt has reported; null until its first heartbeat. `partial` is what is done, by
 * it or an attempt before it.
 */
export type RunningState = { readonly partial: WorkSoFar | null } & (
  | {
      readonly status: 'queued';
      /** Null: it waits in its model's queue. */
      readonly reason: QueueReason | null;
      readonly report: AttemptReport | null;
      readonly attempt: number;
    }
  | {
      readonly status: 'processing' | 'canceling';
      readonly report: AttemptReport | null;
      readonly attempt: number;
    }
);

/** The state of a prediction on which no attempt has begun. */
export const NOT_STARTED = {
  status: 'queued',
  reason: null,
  report: null,
  attempt: 0,
  partial: null,
} as const;

/** The parts of a description from which a state is made. */
export interface RunningFacts {
  readonly isCancelRequested: boolean;
  /** When its workflow may begin; null: it has begun. */
  readonly startsAtMs: number | null;
  readonly historyLength: number;
  /** How many of its inputs are given by URL. */
  readonly fetches: number;
  /** Attempts before infer was last scheduled. */
  readonly earlierAttempts: number;
  /** The activity that has not come to its end. */
  readonly pending: PendingActivity | null;
}

export function runningState(facts: RunningFacts, nowMs: number): RunningState {
  const { pending, earlierAttempts } = facts;
  const isFetching = pending?.type === FETCH_ACTIVITY;
  // The details of an earlier attempt stay until the current one has sent its own.
  const latest = pending?.report ?? null;
  const report = latest?.activity_attempt === (pending?.attempt ?? 0) ? latest : null;
  const attempt = earlierAttempts + (isFetching ? 0 : startedAttempts(pending));
  const partial = pending?.partial ?? null;
  if (facts.isCancelRequested) return { status: 'canceling', report, attempt, partial };
  if (facts.startsAtMs !== null && facts.startsAtMs > nowMs) {
    return { ...NOT_STARTED, reason: 'scheduled' };
  }
  if (isFetching) return { ...NOT_STARTED, reason: 'fetching_input' };
  if (pending === null) {
    const atMost = QUEUED_HISTORY_LENGTH + facts.fetches * FETCH_HISTORY_LENGTH;
    const isQueued = facts.historyLength <= atMost;
    return isQueued ? NOT_STARTED : { status: 'processing', report, attempt, partial };
  }
  if (pending.state === ACTIVITY_PAUSED) {
    return { status: 'queued', reason: 'paused', report, attempt, partial };
  }
  if (pending.state !== ACTIVITY_SCHEDULED)
    return { status: 'processing', report, attempt, partial };
  if (pending.attempt <= 1) return { ...NOT_STARTED, attempt };
  // After its pause, a retry waits like any other task, for the same reasons.
  const isPausing = pending.nextAttemptAtMs > nowMs;
  return {
    status: 'queued',
    reason: isPausing ? 'retrying' : null,
    report: null,
    attempt,
    partial,
  };
}

function startedAttempts(pending: PendingActivity | null): number {
  if (pending === null) return 0;
  return isWaiting(pending.state) ? Math.max(0, pending.attempt - 1) : pending.attempt;
}

/** Takes the parts from Temporal's description of a workflow. */
export function runningFacts(
  accepted: Accepted,
  { raw, executionTime, historyLength, memo }: WorkflowExecutionDescription,
  engine: Pick<Engine, 'decode'>,
): RunningFacts {
  return {
    isCancelRequested: raw.workflowExtendedInfo?.cancelRequested === true,
    startsAtMs: executionTime?.getTime() ?? null,
    historyLength,
    fetches: Object.values(accepted.input).filter(({ kind }) => kind === 'url').length,
    earlierAttempts: (memo?.[MEMO_ATTEMPTS] ?? 0) as number,
    pending: pendingIn(raw, (payload) => engine.decode(payload)),
  };
}
