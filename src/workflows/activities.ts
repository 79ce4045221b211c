/* Every activity call's queue, timeouts and retry policy, each number with its reason. */
import { proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { ChunkActivities } from '../activities/batch-chunk.ts';
import type { BatchFileActivities } from '../activities/batch-files.ts';
import type { ItemInputActivities } from '../activities/item-inputs.ts';
import type { InferenceActivities } from '../activities/inference.ts';
import type { InputActivities } from '../activities/inputs.ts';
import type { ChangeInferActivities } from '../activities/change-infer.ts';
import type { WebhookActivities } from '../activities/webhooks.ts';
import { TERMINAL_FAILURES } from '../contract/failure.ts';
import { FETCH_DEADLINE_MS, type InferOptions } from '../contract/messages.ts';
import { formatModelRef, LOAD_TIMEOUT_MS, type ModelRef } from '../contract/model.ts';
import { BATCH_QUEUE, batchQueue, FETCH_QUEUE, inferenceQueue } from '../contract/task-queues.ts';

/** What bounds the infer activity, durations in ms. */
export interface InferLimits {
  readonly heartbeatTimeoutMs: number;
  readonly runTimeoutMs: number;
  /** What is left of the deadline. */
  readonly remainingMs: number;
  /** What is left of the wait for the first attempt; null when it has started before. */
  readonly queueTtlMs: number | null;
  /** The priority among the tasks that wait: 1 comes first. */
  readonly priority: number;
  /** Temporal gives the tenants turns. */
  readonly tenant: string;
}

/**
 * The supervisor measures the run itself; this only catches an attempt that is stuck for good. An
 * attempt may have to wait for the run before it (a worker takes two per replica) and for a load.
 */
const backstopMs = (runTimeoutMs: number): number => 2 * runTimeoutMs + LOAD_TIMEOUT_MS + 60_000;

/** What Temporal is told of the infer activity, when it is scheduled and when that changes. */
export const inferOptions = (limits: InferLimits): InferOptions => ({
  timeouts: {
    heartbeatTimeout: limits.heartbeatTimeoutMs,
    startToCloseTimeout: backstopMs(limits.runTimeoutMs),
    // This bounds all attempts together. Every deploy costs an attempt, so their number cannot be bounded.
    scheduleToCloseTimeout: limits.remainingMs,
    scheduleToStartTimeout: Math.min(limits.queueTtlMs ?? Infinity, limits.remainingMs),
  },
  priority: { priorityKey: limits.priority, fairnessKey: limits.tenant },
});

/** The infer activity on the queue of one model version. */
export const inferOn = (model: ModelRef, { timeouts, priority }: InferOptions) =>
  proxyActivities<InferenceActivities>({
    taskQueue: inferenceQueue(model),
    summary: formatModelRef(model),
    ...timeouts,
    priority,
    cancellationType: 'WAIT_CANCELLATION_COMPLETED', // a canceled prediction has left the device
    retry: {
      initialInterval: '200ms',
      maximumInterval: '10s',
      nonRetryableErrorTypes: [...TERMINAL_FAILURES, 'TemporalTimeout:StartToClose'],
    },
  }).infer;

/** What bounds a chunk of a batch, durations in ms. */
export type ChunkLimits = Omit<InferLimits, 'runTimeoutMs'>;

/** The inferChunk activity on the queue of one model version. */
export const inferChunkOn = (model: ModelRef, limits: ChunkLimits) =>
  proxyActivities<ChunkActivities>({
    taskQueue: batchQueue(model),
    summary: formatModelRef(model),
    heartbeatTimeout: limits.heartbeatTimeoutMs, // nothing else bounds an attempt: predictions come before its items
    scheduleToCloseTimeout: limits.remainingMs,
    scheduleToStartTimeout: Math.min(limits.queueTtlMs ?? Infinity, limits.remainingMs),
    priority: { priorityKey: limits.priority, fairnessKey: limits.tenant },
    cancellationType: 'WAIT_CANCELLATION_COMPLETED', // what was done of it counts
    retry: {
      initialInterval: '200ms',
      maximumInterval: '10s',
      nonRetryableErrorTypes: [...TERMINAL_FAILURES],
    },
  }).inferChunk;

/** At least so long is tried to put a batch's results together, whatever its deadline says. */
const LEAST_ASSEMBLY_MS = 600_000;

/** What handles the files of a batch; `remainingMs` is what is left of the deadline. */
export const batchFilesWithin = (remainingMs: number, heartbeatTimeoutMs: number) =>
  proxyActivities<BatchFileActivities>({
    taskQueue: BATCH_QUEUE,
    heartbeatTimeout: heartbeatTimeoutMs,
    scheduleToCloseTimeout: Math.max(LEAST_ASSEMBLY_MS, remainingMs),
    cancellationType: 'WAIT_CANCELLATION_COMPLETED',
    retry: {
      initialInterval: '200ms',
      maximumInterval: '10s',
      nonRetryableErrorTypes: [...TERMINAL_FAILURES],
    },
  });

/** The fetchItems activity; `remainingMs` is what is left of the deadline. */
export const fetchItemsWithin = (remainingMs: number, heartbeatTimeoutMs: number) =>
  proxyActivities<ItemInputActivities>({
    taskQueue: FETCH_QUEUE,
    heartbeatTimeout: heartbeatTimeoutMs,
    scheduleToCloseTimeout: remainingMs,
    cancellationType: 'WAIT_CANCELLATION_COMPLETED', // nothing is written after it ended
    retry: {
      initialInterval: '1s',
      maximumInterval: '30s',
      nonRetryableErrorTypes: [...TERMINAL_FAILURES],
    },
  }).fetchItems;

/** Gives the infer activity other options. Local: it runs where its workflow runs. */
export const { changeInfer } = proxyLocalActivities<ChangeInferActivities>({
  startToCloseTimeout: '10s', // one call to Temporal, tried until it has an answer
  retry: {
    initialInterval: '200ms',
    maximumInterval: '30s',
    nonRetryableErrorTypes: ['EngineRefusedError'],
  },
  localRetryThreshold: '1s', // a longer pause is a timer of the workflow's, and holds nothing
});

/** The fetchInput activity; `remainingMs` is what is left of the deadline. */
export const fetchWithin = (remainingMs: number, heartbeatTimeoutMs: number) =>
  proxyActivities<InputActivities>({
    taskQueue: FETCH_QUEUE,
    heartbeatTimeout: heartbeatTimeoutMs,
    startToCloseTimeout: FETCH_DEADLINE_MS + 60_000, // the activity measures it; this is the backstop
    scheduleToCloseTimeout: remainingMs,
    cancellationType: 'WAIT_CANCELLATION_COMPLETED', // nothing is written after it ended
    // The activity itself counts how often it asks a server that does not answer. Failures of our own side
    // are retried until the deadline.
    retry: {
      initialInterval: '1s',
      maximumInterval: '30s',
      nonRetryableErrorTypes: [...TERMINAL_FAILURES],
    },
  }).fetchInput;

/**
 * One attempt to deliver a webhook. An error of the receiver is its result; the activity itself fails only
 * when our own side does, and that is retried. Local: it runs where its workflow runs, on the delivery queue,
 * which costs the engine half as much.
 */
export const { deliver } = proxyLocalActivities<WebhookActivities>({
  startToCloseTimeout: '1m', // the activity itself gives up after 15 s; this is the backstop
  retry: { initialInterval: '1s', maximumInterval: '1m' },
  localRetryThreshold: '1s', // a longer pause is a timer of the workflow's, and holds nothing
});
