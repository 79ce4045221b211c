/* When a delivery is tried again: a pure function of the results of its attempts so far. */
import type { DeliverResult, DeliveryReason } from './webhook.ts';

type Attempted = Exclude<DeliverResult, { outcome: 'busy' }>;

/** The pauses of Standard Webhooks: ten attempts in three days. */
export const DEFAULT_SCHEDULE = '0s,5s,5m,30m,2h,5h,10h,14h,20h,24h';

/** With longer pauses a delivery could outlive its prediction's result. */
const MAX_RETRY_AFTER_MS = 3_600_000;
/** Pauses grow by up to a tenth, so that deliveries which failed together are not tried again together. */
const JITTER = 0.1;

/** What happens after an attempt. */
export type NextStep =
  | { readonly status: 'delivered' }
  | { readonly status: 'failed' | 'gone'; readonly reason: DeliveryReason }
  | { readonly status: 'pending'; readonly delayMs: number };

/**
 * `made` attempts of the schedule have been made, the last with this result; `jitter` is a random
 * number, 0 to 1. A receiver's Retry-After makes the pause longer, never shorter: it cannot use up
 * its own attempts.
 */
export function nextStep(
  scheduleMs: readonly number[],
  made: number,
  result: Attempted,
  jitter: number,
): NextStep {
  if (result.outcome === 'gone') return { status: 'gone', reason: result.reason };
  const { attempt, retry_after_ms: retryAfterMs } = result;
  if (attempt.error === null) return { status: 'delivered' };
  if (attempt.status === 410) return { status: 'gone', reason: 'receiver_gone' };
  const pauseMs = scheduleMs[made];
  if (pauseMs === undefined) return { status: 'failed', reason: 'exhausted' };
  const wantedMs = Math.max(pauseMs, Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS));
  return { status: 'pending', delayMs: Math.round(wantedMs * (1 + JITTER * jitter)) };
}
