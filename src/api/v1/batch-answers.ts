import type { Response } from 'express';
import { type Batch, isFinalBatch } from '../../contract/batch.ts';
import type { BatchReader } from '../../records/batch-reader.ts';

/** How soon asking again for a batch that runs may be worth it: a chunk takes about so long. */
const RETRY_AFTER_S = 2;
const MOST_RETRY_AFTER_S = 60;

export interface BatchAnswering {
  readonly batchReader: BatchReader;
  readonly publicUrl: string;
}

/** Answers with a batch; one that is not final says when to ask again. */
export function sendBatch(response: Response, status: number, batch: Batch): void {
  if (!isFinalBatch(batch)) {
    const etaS = batch.progress?.eta_s ?? RETRY_AFTER_S;
    const afterS = Math.min(MOST_RETRY_AFTER_S, Math.max(RETRY_AFTER_S, etaS));
    response.setHeader('Retry-After', afterS);
  }
  response.status(status).json(batch);
}
