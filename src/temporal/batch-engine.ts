import type { AcceptedBatch, EndedBatch } from '../contract/batch.ts';
import { BATCH_WORKFLOW, type BatchRequest } from '../contract/batch-messages.ts';
import { batchMemoOf } from './batch-memo.ts';
import type { Engine } from './engine.ts';
import { type Listed, RecordEngine } from './record-engine.ts';

export type ListedBatch = Listed<AcceptedBatch, EndedBatch>;

/** What Buzzer asks Temporal about batches. */
export class BatchEngine extends RecordEngine<AcceptedBatch, EndedBatch, BatchRequest> {
  constructor(engine: Engine) {
    super(engine, { kind: 'batch', workflow: BATCH_WORKFLOW, memoOf: batchMemoOf });
  }
}
