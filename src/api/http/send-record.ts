/* The answer that is a record. */
import type { Response } from 'express';
import { isFinal, type Prediction } from '../../contract/prediction.ts';
import { mayRead } from './access.ts';
import type { WhyQueued } from '../../records/why-queued.ts';
import { withoutValues } from '../../records/shown-record.ts';

/**
 * The hottest answer of all: straight to Node, past Express's content negotiation. One that is not
 * final says when to ask again.
 */
export async function sendRecord(
  response: Response,
  status: number,
  record: Prediction,
  whyQueued: WhyQueued,
): Promise<void> {
  const body = JSON.stringify(mayRead(response) ? record : withoutValues(record));
  if (!isFinal(record)) response.setHeader('Retry-After', await whyQueued.retryAfterS(record));
  response.statusCode = status;
  response.setHeader('Content-Type', 'application/json; charset=utf-8');
  response.setHeader('Content-Length', Buffer.byteLength(body));
  response.end(body);
}
