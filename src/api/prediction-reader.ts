/*
 * What Temporal says of a workflow → the record a client reads. The only place that does so:
 * URLs, queue, expiry and everything else that changes after the end are computed here.
 */
import type { WorkflowExecutionDescription } from '@temporalio/client';
import type { AttemptReport } from '../contract/failure.ts';
import { MEMO_ACCEPTED, MEMO_ENDED } from '../contract/messages.ts';
import { type Json, JSON_MEDIA_TYPE, type Stored } from '../contract/payload.ts';
import {
  type Accepted,
  type Ended,
  type InputReference,
  type Prediction,
  predictionError,
  type QueueReason,
} from '../contract/prediction.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import {
  type ListedExecution,
  type PredictionEngine,
  PredictionNotFoundError,
} from '../temporal/prediction-engine.ts';
import type { Load } from './load.ts';
import { Problem } from './problems.ts';

/** Before its first activity is scheduled a workflow has at most this much history. */
const QUEUED_HISTORY_LENGTH = 7;

/** Temporal's PendingActivityState. */
const ACTIVITY_SCHEDULED = 1;
const ACTIVITY_PAUSED = 4;

export interface ReaderDependencies {
  readonly engine: PredictionEngine;
  readonly store: PayloadStore;
  readonly load: Load;
  readonly publicUrl: string;
  readonly resultTtlMs: number;
  /** Outputs up to this many bytes are answered inline, wherever they lie. */
  readonly responseInlineLimit: number;
}

/** A prediction as the reader found it: its two halves and, while it runs, its state. */
export interface Found {
  readonly accepted: Accepted;
  readonly ended: Ended | null;
}

type Running = Extract<Prediction, { completed_at: null }>;
type ActiveState =
  | { status: 'queued'; reason: QueueReason | null; report: AttemptReport | null; attempt: number }
  | { status: 'processing' | 'canceling'; report: AttemptReport | null; attempt: number };

export type PredictionReader = ReturnType<typeof createPredictionReader>;

export function createPredictionReader(dependencies: ReaderDependencies) {
  const { engine, load, resultTtlMs } = dependencies;

  const expiresAtMs = (ended: Ended): number => Date.parse(ended.completed_at) + resultTtlMs;
  const isExpired = (ended: Ended): boolean => Date.now() > expiresAtMs(ended);

  const activeRecord = async (accepted: Accepted, state: ActiveState): Promise<Running> => {
    const { report, attempt } = state;
    const base = {
      ...recordBase(accepted, dependencies.publicUrl),
      attempt,
      started_at: report?.started_at ?? null,
      ...NOT_FINAL,
    };
    if (state.status !== 'queued') {
      return { ...base, status: state.status, progress: report?.progress ?? null, queue: null };
    }
    const model = { name: accepted.model, version: accepted.version };
    const queue = await load.queueOf(model);
    const reason = state.reason ?? queue.reason;
    return { ...base, status: 'queued', progress: null, queue: { depth: queue.depth, reason } };
  };

  const finalRecord = async (
    accepted: Accepted,
    ended: Ended,
    readOutput: boolean,
  ): Promise<Prediction> => {
    const base = {
      ...recordBase(accepted, dependencies.publicUrl),
      attempt: ended.attempt,
      started_at: ended.started_at,
      completed_at: ended.completed_at,
      expires_at: new Date(expiresAtMs(ended)).toISOString(),
      ...FINAL,
    };
    switch (ended.status) {
      case 'succeeded': {
        const output = await outputMembers(ended.output, base.urls.output, readOutput, dependencies);
        return { ...base, status: 'succeeded', ...output, error: null, metrics: ended.metrics };
      }
      case 'failed':
      case 'aborted':
        return { ...base, status: ended.status, ...NO_OUTPUT, error: ended.error };
      case 'canceled':
        return { ...base, status: 'canceled', ...NO_OUTPUT, error: null };
    }
  };

  const describe = async (id: string) => {
    const description = await engine.describe(id);
    const found = await foundIn(description, id);
    if (found.ended !== null && isExpired(found.ended)) {
      const at = new Date(expiresAtMs(found.ended)).toISOString();
      throw new Problem('expired', `the result of ${id} expired at ${at}`);
    }
    return { description, ...found };
  };

  return {
    /** The record of one prediction; throws `PredictionNotFoundError` and the problem `expired`. */
    async read(id: string): Promise<Prediction> {
      const { description, accepted, ended } = await describe(id);
      if (ended !== null) return await finalRecord(accepted, ended, true);
      return await activeRecord(accepted, activeState(description, engine.decode));
    },

    /** The two halves of a record, for what needs its payloads. */
    async find(id: string): Promise<Found> {
      return await describe(id);
    },

    /** The record of a prediction whose end is known without asking Temporal again. */
    async ended(accepted: Accepted, ended: Ended): Promise<Prediction> {
      return await finalRecord(accepted, ended, true);
    },

    /** The record of one that was accepted a moment ago. */
    async justAccepted(accepted: Accepted): Promise<Prediction> {
      const state = { status: 'queued', reason: null, report: null, attempt: 0 } as const;
      return await activeRecord(accepted, state);
    },

    /** A row of a list; null for what has expired, or is an earlier run of the same prediction. */
    async readListed(row: ListedExecution): Promise<Prediction | null> {
      if (row.ended !== null) {
        return isExpired(row.ended) ? null : await finalRecord(row.accepted, row.ended, false);
      }
      const current = await engine.describe(row.id).catch((error: unknown) => {
        if (error instanceof PredictionNotFoundError) return null;
        throw error;
      });
      if (current === null || current.runId !== row.runId) return null;
      const { accepted, ended } = await foundIn(current, row.id);
      if (ended !== null) return await finalRecord(accepted, ended, false);
      return await activeRecord(accepted, activeState(current, engine.decode));
    },
  };
}

async function foundIn(description: WorkflowExecutionDescription, id: string): Promise<Found> {
  const memo = description.memo ?? {};
  const accepted = memo[MEMO_ACCEPTED] as Accepted | undefined;
  if (accepted === undefined) throw new PredictionNotFoundError(id); // not one of ours
  if (description.closeTime === undefined) return { accepted, ended: null };
  const ended = memo[MEMO_ENDED] as Ended | undefined;
  return { accepted, ended: ended ?? endedFromOutside(description) };
}

/** It was terminated or timed out before it could write its own end. */
function endedFromOutside(description: WorkflowExecutionDescription): Ended {
  const message = `the workflow was ended from outside (${description.status.name.toLowerCase()})`;
  return {
    status: 'failed',
    error: predictionError('terminated', message, 0),
    attempt: 0,
    started_at: null,
    completed_at: (description.closeTime ?? new Date()).toISOString(),
  };
}

/** Reads a running one, in the order the design lays down. */
function activeState(
  { raw, executionTime, historyLength }: WorkflowExecutionDescription,
  decode: PredictionEngine['decode'],
): ActiveState {
  const [pending] = raw.pendingActivities ?? [];
  const latest = (decode(pending?.heartbeatDetails?.payloads?.[0]) ?? null) as AttemptReport | null;
  const attempt = Math.max(latest?.attempt ?? 0, pending?.attempt ?? 0);
  // The details of an earlier attempt stay until the current one has sent its own.
  const report = latest?.attempt === attempt ? latest : null;
  if (raw.workflowExtendedInfo?.cancelRequested === true) {
    return { status: 'canceling', report, attempt };
  }
  if (executionTime !== undefined && executionTime.getTime() > Date.now()) {
    return { status: 'queued', reason: 'scheduled', report: null, attempt: 0 };
  }
  if (pending === undefined) {
    if (historyLength > QUEUED_HISTORY_LENGTH) return { status: 'processing', report, attempt };
    return { status: 'queued', reason: null, report: null, attempt: 0 };
  }
  if (pending.state === ACTIVITY_PAUSED) {
    return { status: 'queued', reason: 'paused', report, attempt };
  }
  if (pending.state === ACTIVITY_SCHEDULED) {
    const isRetry = (pending.attempt ?? 1) > 1;
    return {
      status: 'queued',
      reason: isRetry ? 'retrying' : null,
      report,
      attempt: isRetry ? attempt : 0,
    };
  }
  return { status: 'processing', report, attempt };
}

const NOT_FINAL = {
  output: null,
  output_url: null,
  error: null,
  metrics: null,
  completed_at: null,
  expires_at: null,
} as const;
const FINAL = { progress: null, queue: null } as const;
const NO_OUTPUT = { output: null, output_url: null, metrics: null } as const;

function recordBase(accepted: Accepted, publicUrl: string) {
  const { id } = accepted;
  const url = `${publicUrl}/v1/predictions/${id}`;
  return {
    id,
    object: 'prediction',
    model: accepted.model,
    version: accepted.version,
    input: Object.fromEntries(
      Object.entries(accepted.input).map(([field, stored]) => [
        field,
        'inline' in stored ? stored.inline : inputReference(stored, `${url}/input/${field}`),
      ]),
    ),
    options: accepted.options,
    metadata: {},
    tags: [],
    priority: 3,
    webhook: null,
    retry_of: null,
    start_after: null,
    queue_ttl: accepted.queue_ttl,
    run_timeout: accepted.run_timeout,
    deadline: accepted.deadline,
    partial_output: null,
    created_at: accepted.created_at,
    deadline_at: accepted.deadline_at,
    urls: { get: url, output: `${url}/output`, cancel: `${url}/cancel` },
  } as const;
}

function inputReference({ claim }: Extract<Stored, { claim: unknown }>, url: string): InputReference {
  return { url, bytes: claim.bytes, sha256: claim.sha256, media_type: claim.media_type };
}

async function outputMembers(
  output: Stored,
  url: string,
  readOutput: boolean,
  { store, responseInlineLimit }: ReaderDependencies,
): Promise<{ output: Json; output_url: string | null }> {
  if ('inline' in output) return { output: output.inline, output_url: null };
  const isWhole =
    readOutput &&
    output.claim.media_type === JSON_MEDIA_TYPE &&
    output.claim.bytes <= responseInlineLimit;
  if (!isWhole) return { output: null, output_url: url };
  const bytes = await store.get(output.claim.key);
  return { output: JSON.parse(bytes.toString('utf8')) as Json, output_url: null };
}
