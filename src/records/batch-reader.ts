/* What Temporal says of the workflow of a batch → the record that a client reads. */
import type { WorkflowExecutionDescription } from '@temporalio/client';
import {
  type AcceptedBatch,
  type Batch,
  batchBase,
  type EndedBatch,
  finalBatch,
  progressOf,
} from '../contract/batch.ts';
import type { HistoryEntry } from '../contract/history.ts';
import { modelRefOf } from '../contract/model.ts';
import { payloadKeys } from '../contract/payload.ts';
import { batchQueue } from '../contract/task-queues.ts';
import { findTombstone } from '../retention/tombstones.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { BatchEngine, ListedBatch } from '../temporal/batch-engine.ts';
import { type BatchMemo, batchMemoOf, progressIn } from '../temporal/batch-memo.ts';
import type { Engine } from '../temporal/engine.ts';
import { isWaiting } from '../temporal/pending-activity.ts';
import { OwnRecords } from './own-records.ts';
import type { WhyQueued } from './why-queued.ts';

export interface BatchReaderDependencies {
  readonly engine: Engine;
  readonly batches: BatchEngine;
  readonly store: PayloadStore;
  readonly whyQueued: WhyQueued;
  readonly publicUrl: string;
  /** Told of each batch that is seen to have ended. */
  readonly onEnded: (accepted: AcceptedBatch) => void;
}

export class BatchReader {
  readonly #dependencies: BatchReaderDependencies;
  readonly #own: OwnRecords<AcceptedBatch, EndedBatch>;

  constructor(dependencies: BatchReaderDependencies) {
    this.#dependencies = dependencies;
    this.#own = new OwnRecords(dependencies, batchMemoOf);
  }

  /**
   * The record of one batch of a tenant. Throws `WorkflowMissingError`, also for another tenant's, and refuses as
   * `expired` and `data_removed`.
   */
  async read(id: string, tenant: string): Promise<Batch> {
    const { batch } = await this.readWhole(id, tenant);
    return batch;
  }

  /** The record, and the two halves of the same moment; throws as `read`. */
  async readWhole(id: string, tenant: string): Promise<BatchMemo & { readonly batch: Batch }> {
    const { description, accepted, ended } = await this.#own.find(id, tenant);
    return { batch: await this.#record(accepted, ended, description), accepted, ended };
  }

  /** The two halves of a record; throws as `read`. */
  async find(id: string, tenant: string): Promise<BatchMemo> {
    return await this.#own.find(id, tenant);
  }

  /** The two halves, also when it has expired or was deleted but has yet to go from everywhere. */
  async findRemains(id: string, tenant: string): Promise<BatchMemo> {
    return await this.#own.findRemains(id, tenant);
  }

  /** What has happened to a batch, in the order of time. */
  async history(id: string, tenant: string): Promise<readonly HistoryEntry[]> {
    const { description } = await this.#own.find(id, tenant);
    return await this.#dependencies.batches.history(description);
  }

  /** The record of one that was accepted a moment ago. */
  async justAccepted(accepted: AcceptedBatch): Promise<Batch> {
    return await this.#queued(accepted, accepted.start_after !== undefined);
  }

  /** Says that these rows are going to be read. */
  async prepareListed(rows: readonly ListedBatch[]): Promise<void> {
    await this.#dependencies.store.prefetch(rows.map(({ id }) => payloadKeys.tombstone(id)));
  }

  /** A row of a list. Null for what has expired, or is an earlier run of the same batch. */
  async readListed(row: ListedBatch): Promise<Batch | null> {
    const { engine, store, publicUrl } = this.#dependencies;
    let { accepted, ended } = row;
    if (ended === null) {
      const current = await engine.find(row.id);
      if (current === null || current.runId !== row.runId) return null;
      ({ accepted, ended } = this.#own.read(current, row.id));
      if (ended === null) return await this.#record(accepted, null, current);
    }
    if (this.#own.isExpired(accepted, ended)) return null;
    if ((await findTombstone(accepted.id, store)) !== null) return null;
    return finalBatch(accepted, ended, publicUrl);
  }

  async #record(
    accepted: AcceptedBatch,
    ended: EndedBatch | null,
    description: WorkflowExecutionDescription,
  ): Promise<Batch> {
    const { onEnded, publicUrl } = this.#dependencies;
    if (ended !== null) {
      onEnded(accepted);
      return finalBatch(accepted, ended, publicUrl);
    }
    const { raw, executionTime } = description;
    const progress = progressIn(description);
    const isCanceling = raw.workflowExtendedInfo?.cancelRequested === true;
    const isRunning = (raw.pendingActivities ?? []).some(({ state }) => !isWaiting(state));
    const isScheduled = (executionTime?.getTime() ?? 0) > Date.now();
    if (!isCanceling && (isScheduled || (progress === null && !isRunning))) {
      return await this.#queued(accepted, isScheduled);
    }
    return {
      ...batchBase(accepted, publicUrl),
      ...NOT_FINAL,
      status: isCanceling ? 'canceling' : 'processing',
      ...progressOf(accepted, progress),
      queue: null,
    };
  }

  async #queued(accepted: AcceptedBatch, isScheduled: boolean): Promise<Batch> {
    const { whyQueued, publicUrl } = this.#dependencies;
    const model = modelRefOf(accepted);
    // When nobody can tell why it waits, the record is answered without the reason.
    const unknown = { depth: null, reason: null };
    const { depth, reason } = await whyQueued
      .queueOf(model, batchQueue(model))
      .catch(() => unknown);
    return {
      ...batchBase(accepted, publicUrl),
      ...NOT_FINAL,
      ...progressOf(accepted, null),
      status: 'queued',
      progress: null,
      queue: { depth, reason: isScheduled ? 'scheduled' : reason },
    };
  }
}

const NOT_FINAL = {
  output_url: null,
  output_bytes: null,
  error: null,
  completed_at: null,
  expires_at: null,
} as const;
