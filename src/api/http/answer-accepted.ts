/* How an accepted prediction is answered, in every dialect. */
import type { Response } from 'express';
import type { AcceptedRequest } from '../../contract/accepted-request.ts';
import { Refusal } from '../../contract/refusal.ts';
import { isFinal, type Prediction } from '../../contract/prediction.ts';
import { predictionUrl } from '../../contract/prediction-record.ts';
import type { PredictionReader } from '../../records/prediction-reader.ts';
import type { WhyQueued } from '../../records/why-queued.ts';
import type { AcceptedOrder } from '../../submission/acceptance.ts';
import type { Started } from '../../submission/entry.ts';
import type { QuotaKeeper } from '../../submission/quotas.ts';
import type { PredictionEngine } from '../../temporal/prediction-engine.ts';
import { roomFor } from './answers.ts';
import { tenantOf } from './access.ts';
import { releaseBody } from './bodies.ts';
import { rateLimitHeaders } from './rate-limit-headers.ts';
import { logAbout } from './request-log.ts';
import { sendRecord } from './send-record.ts';
import type { WaitLimit } from './wait-limit.ts';

export interface AnswerDependencies {
  readonly reader: PredictionReader;
  readonly predictions: PredictionEngine;
  readonly quotas: QuotaKeeper;
  readonly waitLimit: WaitLimit;
  readonly whyQueued: WhyQueued;
  readonly publicUrl: string;
}

/** Accepts a prediction and sets the headers of its answer: whatever fails afterwards, the client learns the id. */
export async function submit(
  response: Response,
  { quotas, publicUrl }: Pick<AnswerDependencies, 'quotas' | 'publicUrl'>,
  accept: () => Promise<AcceptedOrder>,
): Promise<AcceptedOrder> {
  const tell = (tenant: string) => response.set(rateLimitHeaders(quotas.allowance(tenant)));
  try {
    const order = await accept();
    const { id, tenant } = order.accepted;
    announce(response, order, predictionUrl(publicUrl, id));
    tell(tenant);
    return order;
  } catch (error) {
    if (error instanceof Refusal && error.code === 'rate_limited') tell(tenantOf(response));
    throw error;
  }
}

/** What the headers of an answer say of what was accepted. Its body is needed no more. */
export function announce(
  response: Response,
  { accepted, isReplayed }: Started<AcceptedRequest>,
  url: string,
): void {
  logAbout(response, accepted.id);
  releaseBody(response);
  if (isReplayed) response.setHeader('Idempotency-Replayed', 'true');
  response.set('Location', url);
}

/** 202 with the record, or 200 with the final one when the client waits and it ends in time. */
export async function answerAccepted(
  response: Response,
  order: AcceptedOrder,
  waitS: number | null,
  dependencies: AnswerDependencies,
): Promise<void> {
  const { reader, whyQueued } = dependencies;
  const { accepted, isReplayed } = order;
  const record = await afterWaiting(response, order, waitS, dependencies).catch(
    async (error: unknown) => {
      if (isReplayed) throw error; // it was accepted earlier, so it may have ended or expired
      return await reader.justAccepted(accepted);
    },
  );
  await sendRecord(response, isFinal(record) ? 200 : 202, record, whyQueued);
}

async function afterWaiting(
  response: Response,
  { accepted, isReplayed }: AcceptedOrder,
  waitS: number | null,
  { reader, predictions, waitLimit }: AnswerDependencies,
): Promise<Prediction> {
  if (waitS === null) {
    return isReplayed
      ? await reader.read(accepted.id, accepted.tenant, roomFor(response))
      : await reader.justAccepted(accepted);
  }
  const wait = async (signal: AbortSignal) => await predictions.waitForEnd(accepted.id, signal);
  const ended = await waitLimit.bounded(response, waitS, wait);
  const mustRead = ended === null || isReplayed;
  return mustRead
    ? await reader.read(accepted.id, accepted.tenant, roomFor(response))
    : await reader.ended(accepted, ended, roomFor(response));
}
