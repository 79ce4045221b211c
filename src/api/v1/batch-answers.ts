import type { Response } from 'express';
import { type AcceptedBatch, type Batch, batchUrl, isFinalBatch } from '../../contract/batch.ts';
import type { BatchReader } from '../../records/batch-reader.ts';
import type { Started } from '../../submission/entry.ts';
import { announce } from '../http/answer-accepted.ts';

/** How soon asking again for a batch that runs may be worth it: a chunk takes about so long. */
const RETRY_AFTER_S = 2;
const MOST_RETRY_AFTER_S = 60;

export interface BatchAnswering {
  readonly batchReader: BatchReader;
  readonly publicUrl: string;
}

/** Answers with a batch that was accepted: now, or before with the same key. */
export async function sendStarted(
  response: Response,
  started: Started<AcceptedBatch>,
  { batchReader, publicUrl }: BatchAnswering,
): Promise<void> {
  const { accepted, isReplayed } = started;
  announce(response, started, batchUrl(publicUrl, accepted.id));
  const batch = isReplayed
    ? await batchReader.read(accepted.id, accepted.tenant)
    : await batchReader.justAccepted(accepted);
  sendBatch(response, 202, batch);
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
