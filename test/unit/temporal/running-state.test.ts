/* What Temporal says of a workflow → what a prediction is doing. */
import type { AttemptReport } from '../../../src/contract/failure.ts';
import type { PendingActivity } from '../../../src/temporal/pending-activity.ts';
import { type RunningFacts, runningState } from '../../../src/temporal/running-state.ts';

const NOW_MS = Date.parse('2026-01-01T00:00:00Z');
const [SCHEDULED, STARTED, CANCEL_REQUESTED, PAUSED] = [1, 2, 3, 4] as const;

const report = (activityAttempt: number): AttemptReport => ({
  attempt: activityAttempt,
  activity_attempt: activityAttempt,
  started_at: '2025-12-31T23:59:59.000Z',
  worker: 'w',
  deaths: 0,
  alone: false,
  progress: null,
});
const infer = (more: Partial<PendingActivity> = {}): PendingActivity => ({
  type: 'infer',
  state: STARTED,
  attempt: 1,
  nextAttemptAtMs: 0,
  report: null,
  partial: null,
  ...more,
});
const facts = (more: Partial<RunningFacts> = {}): RunningFacts => ({
  isCancelRequested: false,
  startsAtMs: NOW_MS - 1000,
  historyLength: 5,
  fetches: 0,
  earlierAttempts: 0,
  pending: null,
  ...more,
});

test.each<[string, RunningFacts, object]>([
  ['nothing has begun', facts(), { status: 'queued', reason: null, attempt: 0 }],
  [
    'as much history as before the first inference',
    facts({ historyLength: 7 }),
    { status: 'queued' },
  ],
  ['more history than that', facts({ historyLength: 8 }), { status: 'processing' }],
  ['history of a fetch', facts({ historyLength: 13, fetches: 1 }), { status: 'queued' }],
  ['more than of a fetch', facts({ historyLength: 14, fetches: 1 }), { status: 'processing' }],
  [
    'it starts later',
    facts({ startsAtMs: NOW_MS + 1 }),
    { status: 'queued', reason: 'scheduled', attempt: 0 },
  ],
  [
    'its input is being fetched',
    facts({ pending: infer({ type: 'fetchInput', attempt: 3 }) }),
    { status: 'queued', reason: 'fetching_input', attempt: 0 },
  ],
  [
    'it waits in the queue of its model',
    facts({ pending: infer({ state: SCHEDULED }) }),
    { status: 'queued', reason: null, attempt: 0 },
  ],
  [
    'it waits there once more, scheduled anew after two attempts',
    facts({ pending: infer({ state: SCHEDULED }), earlierAttempts: 2 }),
    { status: 'queued', reason: null, attempt: 2 },
  ],
  [
    'an attempt runs that has told nothing yet',
    facts({ pending: infer() }),
    { status: 'processing', attempt: 1, report: null },
  ],
  [
    'an attempt runs that has told of itself',
    facts({ pending: infer({ attempt: 2, report: report(2) }) }),
    { status: 'processing', attempt: 2, report: report(2) },
  ],
  [
    'an attempt runs, and the one before it has told of itself',
    facts({ pending: infer({ attempt: 2, report: report(1) }) }),
    { status: 'processing', attempt: 2, report: null },
  ],
  [
    'it pauses before the next attempt',
    facts({ pending: infer({ state: SCHEDULED, attempt: 3, nextAttemptAtMs: NOW_MS + 1000 }) }),
    { status: 'queued', reason: 'retrying', attempt: 2, report: null },
  ],
  [
    'its pause is over',
    facts({ pending: infer({ state: SCHEDULED, attempt: 3, nextAttemptAtMs: NOW_MS - 1 }) }),
    { status: 'queued', reason: null, attempt: 2, report: null },
  ],
  [
    'an operator has paused it',
    facts({ pending: infer({ state: PAUSED, attempt: 2 }) }),
    { status: 'queued', reason: 'paused', attempt: 1 },
  ],
  [
    'it is being canceled while it runs',
    facts({ isCancelRequested: true, pending: infer({ state: CANCEL_REQUESTED }) }),
    { status: 'canceling', attempt: 1 },
  ],
  [
    'it is being canceled before its time',
    facts({ isCancelRequested: true, startsAtMs: NOW_MS + 60_000 }),
    { status: 'canceling', attempt: 0 },
  ],
])('%s', (_what, given, expected) => {
  expect(runningState(given, NOW_MS)).toMatchObject(expected);
});
