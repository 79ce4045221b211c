/* When a prediction may start, and how long it may take: what was asked, within what may be. */
import { z } from 'zod';
import { DAY_MS, formatDuration, parseDurationMs } from '../contract/duration.ts';
import type { Manifest } from '../contract/model.ts';
import type { ChangedTerms } from '../contract/messages.ts';
import { type Accepted, type Prediction, startsAt } from '../contract/prediction.ts';
import { invalidAt } from '../contract/refusal.ts';
import type { OrderTerms, PredictionChanges } from './request-schema.ts';

const MAX_DEADLINE_MS = 30 * DAY_MS;
const MAX_DELAY_MS = 30 * DAY_MS;

export interface TimeLimits {
  /** The deadline of a request that gives none. */
  readonly deadlineMs: number;
  readonly queueTtlMs: number;
  readonly resultTtlMs: number;
}

export type Times = Pick<
  Accepted,
  | 'result_ttl'
  | 'queue_ttl'
  | 'run_timeout'
  | 'deadline'
  | 'created_at'
  | 'deadline_at'
  | 'start_after'
>;

/** Throws a problem that names the member. */
export function timesOf(
  request: OrderTerms,
  { timeouts }: Manifest,
  limits: TimeLimits,
  nowMs: number,
): Times {
  const startMs = startOf(request.start_after, nowMs);
  const deadlineMs = within(request.deadline, 'deadline', MAX_DEADLINE_MS) ?? limits.deadlineMs;
  const queueTtlMs =
    within(request.queue_ttl, 'queue_ttl', MAX_DEADLINE_MS) ??
    Math.min(limits.queueTtlMs, deadlineMs);
  const longestRunMs = timeouts.run_s * 1000;
  const runTimeoutMs = within(request.run_timeout, 'run_timeout', longestRunMs) ?? longestRunMs;
  return {
    result_ttl: formatDuration(limits.resultTtlMs),
    queue_ttl: formatDuration(queueTtlMs),
    run_timeout: formatDuration(runTimeoutMs),
    deadline: formatDuration(deadlineMs),
    created_at: new Date(nowMs).toISOString(),
    deadline_at: new Date((startMs ?? nowMs) + deadlineMs).toISOString(),
    ...(startMs === null ? {} : { start_after: new Date(startMs).toISOString() }),
  };
}

/** What changes of a prediction that waits. Throws a problem that names the member. */
export function changedTerms(
  before: Pick<Prediction, 'created_at' | 'start_after'>,
  { priority, queue_ttl: queueTtl, deadline }: PredictionChanges,
  nowMs: number,
): ChangedTerms {
  const sinceMs = nowMs - Date.parse(startsAt(before));
  return {
    ...(priority === undefined ? {} : { priority }),
    ...(queueTtl === undefined ? {} : { queue_ttl: ahead(queueTtl, 'queue_ttl', sinceMs) }),
    ...(deadline === undefined ? {} : { deadline: ahead(deadline, 'deadline', sinceMs) }),
  };
}

/** A duration that is not over yet. */
function ahead(text: string, member: string, sinceMs: number): string {
  const durationMs = within(text, member, MAX_DEADLINE_MS) ?? 0;
  if (durationMs > sinceMs) return formatDuration(durationMs);
  const since = formatDuration(sinceMs);
  throw invalidAt(`/${member}`, `is over already, after ${since}; POST …/cancel ends it`);
}

function within(text: string | undefined, member: string, mostMs: number): number | null {
  if (text === undefined) return null;
  const durationMs = parseDurationMs(text);
  if (durationMs !== null && durationMs > 0 && durationMs <= mostMs) return durationMs;
  throw invalidAt(
    `/${member}`,
    `must be a duration such as 90s or 1h30m, at most ${formatDuration(mostMs)}`,
  );
}

/** Null: at once. */
function startOf(text: string | undefined, nowMs: number): number | null {
  if (text === undefined) return null;
  const delayMs = parseDurationMs(text);
  const startMs = delayMs === null ? Date.parse(text) : nowMs + delayMs;
  const isTime = delayMs !== null || time.safeParse(text).success;
  if (!isTime || Number.isNaN(startMs) || startMs > nowMs + MAX_DELAY_MS) {
    const most = formatDuration(MAX_DELAY_MS);
    throw invalidAt(
      '/start_after',
      `must be a time (RFC 3339) or a duration, at most ${most} ahead`,
    );
  }
  return startMs <= nowMs ? null : startMs;
}

const time = z.iso.datetime({ offset: true });
