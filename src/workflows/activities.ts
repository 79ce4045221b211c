/* Every activity call's queue, timeouts and retry policy, each number with its reason. */
import { proxyActivities } from '@temporalio/workflow';
import type { InferenceActivities } from '../activities/inference.ts';
import { TERMINAL_FAILURES } from '../contract/failure.ts';
import { formatModelRef, LOAD_TIMEOUT_MS, type ModelRef } from '../contract/model.ts';
import { inferenceQueue } from '../contract/task-queues.ts';

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
