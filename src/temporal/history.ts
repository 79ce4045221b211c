/* Makes the entries of `/history` from Temporal's history of a prediction, without payloads. */
import type { WorkflowExecutionDescription, WorkflowHandle } from '@temporalio/client';
import { FETCH_ACTIVITY, isWaiting } from './pending-activity.ts';
import { cutMessage } from '../contract/failure.ts';
import type { HistoryEntry } from '../contract/history.ts';

type History = Awaited<ReturnType<WorkflowHandle['fetchHistory']>>;
type Event = NonNullable<History['events']>[number];
type Failure = NonNullable<Event['activityTaskFailedEventAttributes']>['failure'];
type Timestamp = NonNullable<Event['eventTime']>;

/** Temporal's TimeoutType. */
const TIMEOUTS = [
  'timeout',
  'start_to_close',
  'schedule_to_start',
  'schedule_to_close',
  'heartbeat',
];

/**
 * In order of time. Temporal writes an attempt into the history when its activity ends. Of those
 * before it, only their number and the latest failure are known.
 */
export function historyEntries(
  { events }: History,
  { raw }: WorkflowExecutionDescription,
): readonly HistoryEntry[] {
  const attempts = new Map<string, number>(); // the number of attempts, by the event that scheduled the activity
  const told = (events ?? []).flatMap((event) => entryOf(event, attempts));
  const pending = (raw.pendingActivities ?? []).map((activity): HistoryEntry => {
    const isRunning = !isWaiting(activity.state);
    const at = isRunning ? activity.lastStartedTime : activity.scheduledTime;
    return {
      at: timeOf(at),
      event: isRunning ? 'attempt_started' : 'retry_scheduled',
      attempt: activity.attempt ?? null,
      worker: activity.lastWorkerIdentity || null,
      error: errorOf(activity.lastFailure),
    };
  });
  // An activity that waits for its first attempt adds nothing: the prediction is queued.
  const news = pending.filter(({ event, attempt }) => event !== 'retry_scheduled' || attempt !== 1);
  // Temporal writes the start of an attempt together with its end, so events in between lie before it.
  return [...told, ...news].toSorted(byTime);
}

function entryOf(event: Event, attempts: Map<string, number>): readonly HistoryEntry[] {
  const at = timeOf(event.eventTime);
  const entry = (name: HistoryEntry['event'], more: Partial<HistoryEntry> = {}) => [
    { at, event: name, attempt: null, worker: null, error: null, ...more },
  ];
  const begun = event.workflowExecutionStartedEventAttributes;
  if (begun) return entry(begun.continuedExecutionRunId ? 'continued' : 'accepted');
  const scheduled = event.activityTaskScheduledEventAttributes;
  if (scheduled) {
    return entry(scheduled.activityType?.name === FETCH_ACTIVITY ? 'fetching_input' : 'queued');
  }
  const started = event.activityTaskStartedEventAttributes;
  if (started) {
    const attempt = started.attempt ?? 1;
    attempts.set(String(started.scheduledEventId), attempt);
    const worker = started.identity ?? null;
    return entry('attempt_started', { attempt, worker, error: errorOf(started.lastFailure) });
  }
  const attemptOf = (of: { scheduledEventId?: unknown }) => ({
    attempt: attempts.get(String(of.scheduledEventId)) ?? null,
  });
  const completed = event.activityTaskCompletedEventAttributes;
  if (completed) return entry('attempt_succeeded', attemptOf(completed));
  const failed =
    event.activityTaskFailedEventAttributes ?? event.activityTaskTimedOutEventAttributes;
  if (failed)
    return entry('attempt_failed', { ...attemptOf(failed), error: errorOf(failed.failure) });
  const canceled = event.activityTaskCanceledEventAttributes;
  if (canceled) return entry('attempt_canceled', attemptOf(canceled));
  if (event.workflowExecutionCancelRequestedEventAttributes) return entry('cancel_requested');
  const update = event.workflowExecutionUpdateCompletedEventAttributes;
  if (update) return update.outcome?.success ? entry('terms_changed') : [];
  if (event.startChildWorkflowExecutionInitiatedEventAttributes) return entry('telling_receiver');
  const ended = event.workflowExecutionFailedEventAttributes;
  if (ended) return entry('ended', { error: errorOf(ended.failure) });
  const isEnd =
    event.workflowExecutionCompletedEventAttributes ??
    event.workflowExecutionCanceledEventAttributes ??
    event.workflowExecutionTerminatedEventAttributes ??
    event.workflowExecutionTimedOutEventAttributes;
  return isEnd ? entry('ended') : [];
}

function errorOf(failure: Failure): HistoryEntry['error'] {
  if (!failure) return null;
  const timeout = failure.timeoutFailureInfo?.timeoutType;
  const code =
    failure.applicationFailureInfo?.type ??
    (timeout === undefined || timeout === null ? 'internal' : (TIMEOUTS[timeout] ?? 'timeout'));
  return { code, message: cutMessage(failure.message ?? '') };
}

/** Entries without a time come last. Entries of the same time stay in Temporal's order. */
function byTime({ at: a }: HistoryEntry, { at: b }: HistoryEntry): number {
  if (a === b) return 0;
  if (a === null || b === null) return a === null ? 1 : -1;
  return a < b ? -1 : 1;
}

/** Null: Temporal does not say. */
function timeOf(time: Timestamp | null | undefined): string | null {
  if (!time) return null;
  const ms = Number(time.seconds ?? 0) * 1000 + Math.floor((time.nanos ?? 0) / 1e6);
  return ms === 0 ? null : new Date(ms).toISOString();
}
