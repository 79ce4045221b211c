/* Temporal's description of an activity that has not ended. */
import type { WorkflowExecutionDescription } from '@temporalio/client';
import type { AttemptReport, InferHeartbeat } from '../contract/failure.ts';
import type { WorkSoFar } from '../contract/work.ts';
import type { Engine } from './engine.ts';

export const FETCH_ACTIVITY = 'fetchInput';
export const INFER_ACTIVITY = 'infer';

/** Temporal's PendingActivityState; every other state is of an activity that runs. */
export const ACTIVITY_SCHEDULED = 1;
export const ACTIVITY_PAUSED = 4;

/** Whether no worker has it. */
export const isWaiting = (state: unknown): boolean =>
  [ACTIVITY_SCHEDULED, ACTIVITY_PAUSED].includes(Number(state));

export interface PendingActivity {
  readonly type: string;
  /** temporal.api.enums.v1.PendingActivityState */
  readonly state: number;
  /** The number of the attempt by Temporal's count; 0 when Temporal does not say. */
  readonly attempt: number;
  /** When it is tried again; 0 when it does not have to wait. */
  readonly nextAttemptAtMs: number;
  /** The details of the latest heartbeat, which may be of the attempt before. */
  readonly report: AttemptReport | null;
  readonly partial: WorkSoFar | null;
}

/** The activity of a workflow that has not ended; null when there is none. */
export function pendingIn(
  raw: WorkflowExecutionDescription['raw'],
  decode: Engine['decode'],
): PendingActivity | null {
  const [pending] = raw.pendingActivities ?? [];
  if (pending === undefined) return null;
  const details = decode(pending.heartbeatDetails?.payloads?.[0]);
  const heartbeat = details as InferHeartbeat | undefined; // the details of fetchInput are a number
  return {
    type: pending.activityType?.name ?? '',
    state: Number(pending.state),
    attempt: pending.attempt ?? 0,
    nextAttemptAtMs: Number(pending.nextAttemptScheduleTime?.seconds ?? 0) * 1000,
    report: heartbeat?.report ?? null,
    partial: heartbeat?.partial ?? null,
  };
}
