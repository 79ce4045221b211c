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

export class PredictionReader {
  readonly #dependencies: ReaderDependencies;

  constructor(dependencies: ReaderDependencies) {
    this.#dependencies = dependencies;
  }

  /** The record of one prediction; throws `PredictionNotFoundError` and the problem `expired`. */
  async read(id: string): Promise<Prediction> {
    const { description, accepted, ended } = await this.#describe(id);
    if (ended !== null) return await this.#finalRecord(accepted, ended, true);
    return await this.#activeRecord(accepted, this.#activeState(description));
  }

  /** The two halves of a record, for what needs its payloads. */
  async find(id: string): Promise<Found> {
    return await this.#describe(id);
  }

  /** The record of a prediction whose end is known without asking Temporal again. */
  async ended(accepted: Accepted, ended: Ended): Promise<Prediction> {
    return await this.#finalRecord(accepted, ended, true);
  }

  /** The record of one that was accepted a moment ago. */
  async justAccepted(accepted: Accepted): Promise<Prediction> {
    return await this.#activeRecord(accepted, NOT_STARTED);
  }

  /** A row of a list; null for what has expired, or is an earlier run of the same prediction. */
  async readListed(row: ListedExecution): Promise<Prediction | null> {
    if (row.ended !== null) return await this.#listedRecord(row.accepted, row.ended);
    const current = await this.#dependencies.engine.describe(row.id).catch((error: unknown) => {
      if (error instanceof PredictionNotFoundError) return null;
      throw error;
    });
    if (current === null || current.runId !== row.runId) return null;
    const { accepted, ended } = foundIn(current, row.id);
    if (ended !== null) return await this.#listedRecord(accepted, ended);
    return await this.#activeRecord(accepted, this.#activeState(current));
  }

  async #listedRecord(accepted: Accepted, ended: Ended): Promise<Prediction | null> {
    return this.#isExpired(ended) ? null : await this.#finalRecord(accepted, ended, false);
  }

  async #describe(id: string) {
    const description = await this.#dependencies.engine.describe(id);
    const found = foundIn(description, id);
    if (found.ended !== null && this.#isExpired(found.ended)) {
      const at = new Date(this.#expiresAtMs(found.ended)).toISOString();
      throw new Problem('expired', `the result of ${id} expired at ${at}`);
    }
    return { description, ...found };
  }

  async #activeRecord(accepted: Accepted, state: ActiveState): Promise<Running> {
    const { status, report, attempt } = state;
    const base = {
      ...recordBase(accepted, status, this.#dependencies.publicUrl),
      attempt,
      started_at: report?.started_at ?? null,
      ...NOT_FINAL,
    };
    if (status !== 'queued') {
      return { ...base, status, progress: report?.progress ?? null, queue: null };
    }
    const model = { name: accepted.model, version: accepted.version };
    // A record is never refused because nobody can tell why it waits.
    const unknown = { depth: null, reason: null };
    const { depth, reason } = await this.#dependencies.load.queueOf(model).catch(() => unknown);
    return { ...base, status, progress: null, queue: { depth, reason: state.reason ?? reason } };
  }

  async #finalRecord(accepted: Accepted, ended: Ended, readOutput: boolean): Promise<Prediction> {
    const base = {
      ...recordBase(accepted, ended.status, this.#dependencies.publicUrl),
      attempt: ended.attempt,
      started_at: ended.started_at,
      completed_at: ended.completed_at,
      expires_at: new Date(this.#expiresAtMs(ended)).toISOString(),
      ...FINAL,
    };
    switch (ended.status) {
      case 'succeeded': {
        const url = base.urls.output;
        const output = await outputMembers(ended.output, url, readOutput, this.#dependencies);
        return { ...base, status: ended.status, ...output, error: null, metrics: ended.metrics };
      }
      case 'failed':
      case 'aborted':
        return { ...base, status: ended.status, ...NO_OUTPUT, error: ended.error };
      case 'canceled':
        return { ...base, status: ended.status, ...NO_OUTPUT, error: null };
    }
  }

  /** Reads a running one, in the order the design lays down. */
  #activeState(description: WorkflowExecutionDescription): ActiveState {
    const { raw, executionTime, historyLength } = description;
    const [pending] = raw.pendingActivities ?? [];
    const details = pending?.heartbeatDetails?.payloads?.[0];
    const latest = (this.#dependencies.engine.decode(details) ?? null) as AttemptReport | null;
    const activity = Number(pending?.state);
    const current = pending?.attempt ?? 0;
    // The details of an earlier attempt stay until the current one has sent its own.
    const report = latest?.activity_attempt === current ? latest : null;
    const isWaiting = activity === ACTIVITY_SCHEDULED || activity === ACTIVITY_PAUSED;
    const hasStarted = current > 1 || !isWaiting;
    const before = latest === null ? 0 : latest.attempt - latest.activity_attempt;
    const attempt = hasStarted ? before + current : 0;
    if (raw.workflowExtendedInfo?.cancelRequested === true) {
      return { status: 'canceling', report, attempt };
    }
    if (executionTime !== undefined && executionTime.getTime() > Date.now()) {
      return { ...NOT_STARTED, reason: 'scheduled' };
    }
    if (pending === undefined) {
      if (historyLength <= QUEUED_HISTORY_LENGTH) return NOT_STARTED;
      return { status: 'processing', report, attempt };
    }
    if (activity === ACTIVITY_PAUSED)
      return { status: 'queued', reason: 'paused', report, attempt };
    if (activity !== ACTIVITY_SCHEDULED) return { status: 'processing', report, attempt };
    if ((pending.attempt ?? 1) <= 1) return NOT_STARTED;
    // Once its pause is over it waits like any other, and for the same reasons.
    const isPausing = Number(pending.nextAttemptScheduleTime?.seconds ?? 0) * 1000 > Date.now();
    return { status: 'queued', reason: isPausing ? 'retrying' : null, report: null, attempt };
  }

  #expiresAtMs(ended: Ended): number {
    return Date.parse(ended.completed_at) + this.#dependencies.resultTtlMs;
  }

  #isExpired(ended: Ended): boolean {
    return Date.now() > this.#expiresAtMs(ended);
  }
}

function foundIn(description: WorkflowExecutionDescription, id: string): Found {
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

const NOT_STARTED = { status: 'queued', reason: null, report: null, attempt: 0 } as const;
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

function recordBase(accepted: Accepted, status: Prediction['status'], publicUrl: string) {
  const { id } = accepted;
  const url = `${publicUrl}/v1/predictions/${id}`;
  return {
    id,
    object: 'prediction',
    model: accepted.model,
    version: accepted.version,
    status,
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

function inputReference(
  { claim }: Extract<Stored, { claim: unknown }>,
  url: string,
): InputReference {
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
