/* Every activity call's queue, timeouts and retry policy, each number with its reason. */
import { proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { InferenceActivities } from '../activities/inference.ts';
import type { InputActivities } from '../activities/inputs.ts';
import type { WebhookActivities } from '../activities/webhooks.ts';
import { TERMINAL_FAILURES } from '../contract/failure.ts';
import { FETCH_DEADLINE_MS } from '../contract/messages.ts';
import { formatModelRef, LOAD_TIMEOUT_MS, type ModelRef } from '../contract/model.ts';
import { FETCH_QUEUE, inferenceQueue } from '../contract/task-queues.ts';

export interface InferLimits {
  readonly heartbeatTimeoutMs: number;
  readonly runTimeoutMs: number;
  /** What is left of the deadline. */
  readonly remainingMs: number;
  /** How long it may wait for its first attempt; null when it has started before. */
  readonly queueTtlMs: number | null;
}

/**
 * The supervisor measures the run itself; this only catches an attempt that is stuck for good. An
 * attempt may have to wait for the run before it (a worker takes two per replica) and for a load.
 */
const backstopMs = (runTimeoutMs: number): number => 2 * runTimeoutMs + LOAD_TIMEOUT_MS + 60_000;

/** The infer activity on the queue of one model version. */
export const inferOn = (model: ModelRef, limits: InferLimits) =>
  proxyActivities<InferenceActivities>({
    taskQueue: inferenceQueue(model),
    summary: formatModelRef(model),
    heartbeatTimeout: limits.heartbeatTimeoutMs,
    startToCloseTimeout: backstopMs(limits.runTimeoutMs),
    scheduleToCloseTimeout: limits.remainingMs, // all attempts: a deploy costs one, so time is the bound
    ...(limits.queueTtlMs === null ? {} : { scheduleToStartTimeout: limits.queueTtlMs }),
    cancellationType: 'WAIT_CANCELLATION_COMPLETED', // canceled means: the device is free
    retry: {
      initialInterval: '200ms',
      maximumInterval: '10s',
      nonRetryableErrorTypes: [...TERMINAL_FAILURES, 'TemporalTimeout:StartToClose'],
    },
  }).infer;

/** The fetchInput activity; `remainingMs` is what is left of the deadline. */
export const fetchWithin = (remainingMs: number, heartbeatTimeoutMs: number) =>
  proxyActivities<InputActivities>({
    taskQueue: FETCH_QUEUE,
    heartbeatTimeout: heartbeatTimeoutMs,
    startToCloseTimeout: FETCH_DEADLINE_MS + 60_000, // the activity measures it; this is the backstop
    scheduleToCloseTimeout: remainingMs,
    cancellationType: 'WAIT_CANCELLATION_COMPLETED', // nothing is written after it ended
    // How often a server is asked that does not answer, the activity counts; ours is asked for ever.
    retry: {
      initialInterval: '1s',
      maximumInterval: '30s',
      nonRetryableErrorTypes: [...TERMINAL_FAILURES],
    },
  }).fetchInput;

/**
 * One attempt to deliver a webhook. What the receiver does wrong is its result; it fails only when
 * our own side does, and for a moment. Local: it runs where its workflow runs, on the delivery queue,
 * which costs the engine half as much.
 */
export const { deliver } = proxyLocalActivities<WebhookActivities>({
  startToCloseTimeout: '1m', // the activity itself gives up after 15 s; this is the backstop
  retry: { initialInterval: '1s', maximumInterval: '1m' },
  localRetryThreshold: '1s', // a longer pause is a timer of the workflow's, and holds nothing
});
