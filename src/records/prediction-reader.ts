/*
 * What Temporal says of a workflow → the record a client reads. The only place that does so:
 * URLs, queue, expiry and everything else that changes after the end are computed here.
 */
import type { WorkflowExecutionDescription } from '@temporalio/client';
import type { HistoryEntry } from '../contract/history.ts';
import { modelRefOf } from '../contract/model.ts';
import { JSON_MEDIA_TYPE, payloadKeys } from '../contract/payload.ts';
import type {
  Accepted,
  Ended,
  PartialOutput,
  PartialText,
  Prediction,
} from '../contract/prediction.ts';
import {
  finalRecord,
  partialOf,
  recordBase,
  type RecordSettings,
  unreadOutput,
  predictionUrl,
  unreadPartial,
  unreadText,
} from '../contract/prediction-record.ts';
import { isText, storedBytes, type WorkSoFar } from '../contract/work.ts';
import { findTombstone } from '../retention/tombstones.ts';
import { isPayloadLost, type PayloadStore } from '../storage/payload-store.ts';
import { type PredictionMemo, memoOf } from '../temporal/prediction-memo.ts';
import type { Engine } from '../temporal/engine.ts';
import type { ListedPrediction, PredictionEngine } from '../temporal/prediction-engine.ts';
import {
  NOT_STARTED,
  runningFacts,
  runningState,
  type RunningState,
} from '../temporal/running-state.ts';
import type { WhyQueued } from './why-queued.ts';
import { OwnRecords } from './own-records.ts';
import { readJson, readText } from './read-json.ts';

export interface ReaderDependencies extends RecordSettings {
  readonly engine: Engine;
  readonly predictions: PredictionEngine;
  readonly store: PayloadStore;
  readonly whyQueued: WhyQueued;
  /** Told of each prediction that is seen to have ended. */
  readonly onEnded: (accepted: Accepted) => void;
  /** Outputs up to this many bytes are answered inline, wherever they lie. */
  readonly responseInlineLimit: number;
}

/** A record, and what is done of it while it has no output. */
export interface Observation {
  readonly accepted: Accepted;
  /** An output that lies in the store is a reference, and of what is done only the end is shown. */
  readonly record: Prediction;
  readonly work: WorkSoFar | null;
  /** The end, when it has come. */
  readonly ended: Ended | null;
}

type Running = Extract<Prediction, { completed_at: null }>;
/** Counts the memory of an output that is read, and gives it a turn to be parsed. */
export interface OutputRoom {
  /**
   * Called before it is read; refuses when there is no room for so many bytes. They are given back when the answer is
   * over, or when what it returns is called.
   */
  take(bytes: number): () => void;
  /** Resolves when so many bytes may be parsed. */
  turn(bytes: number): Promise<void>;
}

export class PredictionReader {
  readonly #dependencies: ReaderDependencies;
  readonly #own: OwnRecords<Accepted, Ended>;

  constructor(dependencies: ReaderDependencies) {
    this.#dependencies = dependencies;
    this.#own = new OwnRecords(dependencies, memoOf);
  }

  /**
   * The record of one prediction of a tenant; without a room, an output that lies in the store
   * is a reference. Throws `WorkflowMissingError`, also for another tenant's, and the problems
   * `expired` and `data_removed`.
   */
  async read(id: string, tenant: string, room: OutputRoom | null): Promise<Prediction> {
    const { description, accepted, ended } = await this.#own.find(id, tenant);
    if (ended !== null) return await this.#finalRecord(accepted, ended, room);
    return await this.#activeRecord(accepted, this.#runningState(accepted, description), room);
  }

  /** A look at one prediction of a tenant, for whoever follows it; throws as `read`. */
  async observe(id: string, tenant: string): Promise<Observation> {
    const { description, accepted, ended } = await this.#own.find(id, tenant);
    if (ended !== null) {
      const record = await this.#finalRecord(accepted, ended, null);
      return { accepted, record, work: partialOf(ended), ended };
    }
    const state = this.#runningState(accepted, description);
    const record = await this.#activeRecord(accepted, state, null);
    return { accepted, record, work: state.partial, ended };
  }

  /** The two halves of a record, for what needs its payloads. */
  async find(id: string, tenant: string): Promise<PredictionMemo> {
    return await this.#own.find(id, tenant);
  }

  /** What has happened to a prediction, in the order of time. */
  async history(id: string, tenant: string): Promise<readonly HistoryEntry[]> {
    const { description } = await this.#own.find(id, tenant);
    return await this.#dependencies.predictions.history(description);
  }

  /** The two halves, also when it has expired or was deleted but has yet to go from everywhere. */
  async findRemains(id: string, tenant: string): Promise<PredictionMemo> {
    return await this.#own.findRemains(id, tenant);
  }

  /** The record of a prediction whose end is known without asking Temporal again. */
  async ended(accepted: Accepted, ended: Ended, room: OutputRoom): Promise<Prediction> {
    return await this.#finalRecord(accepted, ended, room);
  }

  /** The record of one that was accepted a moment ago. */
  async justAccepted(accepted: Accepted): Promise<Prediction> {
    const isLater = accepted.start_after !== undefined;
    const state = isLater ? ({ ...NOT_STARTED, reason: 'scheduled' } as const) : NOT_STARTED;
    return await this.#activeRecord(accepted, state, null);
  }

  /** Says that these rows are going to be read. */
  async prepareListed(rows: readonly ListedPrediction[]): Promise<void> {
    const keys = rows.map(({ id }) => payloadKeys.tombstone(id));
    await this.#dependencies.store.prefetch(keys);
  }

  /**
   * A row of a list. An output that lies in the store is a reference, unless it is wanted and not too
   * large. Null for what has expired, or is an earlier run of the same prediction.
   */
  async readListed(row: ListedPrediction, room: OutputRoom | null): Promise<Prediction | null> {
    if (row.ended !== null) return await this.#listedRecord(row.accepted, row.ended, room);
    const current = await this.#dependencies.engine.find(row.id);
    if (current === null || current.runId !== row.runId) return null;
    const { accepted, ended } = this.#own.read(current, row.id);
    if (ended !== null) return await this.#listedRecord(accepted, ended, room);
    return await this.#activeRecord(accepted, this.#runningState(accepted, current), null);
  }

  async #listedRecord(
    accepted: Accepted,
    ended: Ended,
    room: OutputRoom | null,
  ): Promise<Prediction | null> {
    if (this.#own.isExpired(accepted, ended)) return null;
    if ((await findTombstone(accepted.id, this.#dependencies.store)) !== null) return null;
    const fitting = this.#isTooLarge(ended) ? null : room;
    return await this.#finalRecord(accepted, ended, fitting).catch(async (error: unknown) => {
      // One damaged payload must not fail the list. A client that reads this prediction is told.
      if (!isPayloadLost(error)) throw error;
      return await this.#finalRecord(accepted, ended, null);
    });
  }

  async #activeRecord(
    accepted: Accepted,
    state: RunningState,
    room: OutputRoom | null,
  ): Promise<Running> {
    const { status, report, attempt } = state;
    const base = {
      ...recordBase(accepted, null, this.#dependencies.publicUrl),
      partial_output: await this.#partialOutput(accepted, state.partial, room),
      attempt,
      started_at: report?.started_at ?? null,
      ...NOT_FINAL,
    };
    if (status !== 'queued') {
      return { ...base, status, progress: report?.progress ?? null, queue: null };
    }
    const model = modelRefOf(accepted);
    // When nobody can tell why it waits, the record is answered without the reason.
    const unknown = { depth: null, reason: null };
    const { depth, reason } = await this.#dependencies.whyQueued
      .queueOf(model)
      .catch(() => unknown);
    return { ...base, status, progress: null, queue: { depth, reason: state.reason ?? reason } };
  }

  async #finalRecord(
    accepted: Accepted,
    ended: Ended,
    room: OutputRoom | null,
  ): Promise<Prediction> {
    const { store, publicUrl, onEnded } = this.#dependencies;
    onEnded(accepted);
    let output = unreadOutput(accepted, ended, publicUrl);
    if (ended.status === 'succeeded' && ended.output.kind === 'claim') {
      const { key: _ours, ...reference } = ended.output.claim;
      if (room === null) {
        output = { ...output, output: { url: output.output_url, ...reference } };
      } else if (!this.#isTooLarge(ended)) {
        output = { output: await readJson(ended.output, { store, room }), output_url: null };
      }
    }
    const partial = await this.#partialOutput(accepted, partialOf(ended), room);
    return finalRecord(accepted, ended, output, this.#dependencies, partial);
  }

  async #partialOutput(
    { id }: Accepted,
    work: WorkSoFar | null,
    room: OutputRoom | null,
  ): Promise<PartialOutput | null> {
    if (work === null || !isText(work)) {
      return unreadPartial(work, predictionUrl(this.#dependencies.publicUrl, id));
    }
    return await this.partialText(work, room);
  }

  /** All text so far; without a room, or when that is too large or lost, its end. */
  async partialText(work: WorkSoFar, room: OutputRoom | null): Promise<PartialText> {
    const { store, responseInlineLimit } = this.#dependencies;
    const bytes = storedBytes(work);
    if (room === null || bytes === 0 || bytes > responseInlineLimit) return unreadText(work);
    // A record without the beginning of its text is better than none.
    const read = async () => {
      room.take(bytes); // until it has been answered
      return await readText(work, { store, room });
    };
    const text = await read().catch(() => null);
    return text === null ? unreadText(work) : { attempt: work.attempt, offset: 0, text };
  }

  #runningState(accepted: Accepted, description: WorkflowExecutionDescription): RunningState {
    const facts = runningFacts(accepted, description, this.#dependencies.engine);
    return runningState(facts, Date.now());
  }

  /** Whether the output can only be read at its own URL, because it is media or much JSON. */
  #isTooLarge(ended: Ended): boolean {
    if (ended.status !== 'succeeded' || ended.output.kind === 'inline') return false;
    const { bytes, media_type: mediaType } = ended.output.claim;
    return mediaType !== JSON_MEDIA_TYPE || bytes > this.#dependencies.responseInlineLimit;
  }
}

const NOT_FINAL = {
  output: null,
  output_url: null,
  error: null,
  metrics: null,
  completed_at: null,
  expires_at: null,
} as const;
