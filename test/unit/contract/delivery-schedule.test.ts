import { DEFAULT_SCHEDULE, nextStep } from '../../../src/contract/delivery-schedule.ts';
import { parseDurationMs } from '../../../src/contract/duration.ts';

const schedule = DEFAULT_SCHEDULE.split(',').map((pause) => parseDurationMs(pause) ?? Number.NaN);
const SECOND = 1000;
const HOUR = 3600 * SECOND;

const answered = (status: number, retryAfterMs: number | null = null) => ({
  attempt: {
    at: '2026-01-01T00:00:00.000Z',
    origin: 'https://example.com',
    status,
    error: status < 300 ? null : ({ code: 'refused', message: '' } as const),
    duration_ms: 1,
    answer: '',
  },
  retry_after_ms: retryAfterMs,
  outcome: 'sent' as const,
});
const step = (made: number, result: Parameters<typeof nextStep>[2], jitter = 0) =>
  nextStep(schedule, made, result, jitter);

test('ten attempts, with the pauses of Standard Webhooks', () => {
  const pauses = schedule.slice(1).map((_, index) => step(index + 1, answered(500)));

  expect(schedule[0]).toBe(0);
  expect(pauses).toEqual(
    [5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600].map((s) => ({
      status: 'pending',
      delayMs: s * SECOND,
    })),
  );
  expect(step(10, answered(500))).toEqual({ status: 'failed', reason: 'exhausted' });
});

test('jitter makes a pause up to a tenth longer, never shorter', () => {
  expect(step(3, answered(500), 0.5)).toEqual({ status: 'pending', delayMs: 1890 * SECOND });
  expect(step(3, answered(500), 1)).toEqual({ status: 'pending', delayMs: 1980 * SECOND });
});

test.each([200, 201, 204, 299])('%i ends it', (status) => {
  expect(step(1, answered(status))).toEqual({ status: 'delivered' });
});

test('410 ends it, and so does an endpoint that is gone', () => {
  expect(step(1, answered(410))).toEqual({ status: 'gone', reason: 'receiver_gone' });
  expect(step(1, { outcome: 'gone', reason: 'endpoint_deleted' })).toEqual({
    status: 'gone',
    reason: 'endpoint_deleted',
  });
});

test.each([
  [1, 60 * SECOND, 60 * SECOND, 'longer than the pause: honoured'],
  [4, 60 * SECOND, 2 * HOUR, 'shorter: a receiver cannot use up its attempts'],
  [1, 48 * HOUR, HOUR, 'at most an hour'],
  [1, 0, 5 * SECOND, 'nothing'],
])('after attempt %i, Retry-After %i ms becomes %i ms (%s)', (made, retryAfterMs, delayMs) => {
  expect(step(made, answered(429, retryAfterMs))).toEqual({ status: 'pending', delayMs });
});

test('even the longest way is over before a result expires', () => {
  const longest = schedule.reduce((sum, _, index) => {
    const next = step(index, answered(503, 48 * HOUR), 1);
    return sum + (next.status === 'pending' ? next.delayMs + 15 * SECOND : 0);
  }, 0);

  expect(longest).toBeLessThan(96 * HOUR);
});
