import { pipeline } from 'node:stream/promises';
import { type Request, type Response, Router } from 'express';
import type { Json, Stored } from '../../contract/payload.ts';
import type { Ended } from '../../contract/prediction.ts';
import { openClaim, SMALL_BYTES } from '../../storage/claims.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import { roomFor } from '../http/answers.ts';
import { tenantOf } from '../http/access.ts';
import { listOf } from './lists.ts';
import type { WhyQueued } from '../../records/why-queued.ts';
import type { PredictionReader } from '../../records/prediction-reader.ts';
import { Problem } from '../http/problems.ts';
import { parsePredictionId } from '../http/requests.ts';
import { sendRecord } from '../http/send-record.ts';

/** What a prediction was given and what it gave, as they are, and what happened in between. */
export function payloadsRouter(dependencies: {
  readonly reader: PredictionReader;
  readonly store: PayloadStore;
  readonly whyQueued: WhyQueued;
}): Router {
  const { reader, store, whyQueued } = dependencies;
  const router = Router();
  router.get('/predictions/:id/output', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const tenant = tenantOf(response);
    const { ended } = await reader.find(id, tenant);
    if (ended === null) {
      await sendRecord(response, 202, await reader.read(id, tenant, null), whyQueued);
    } else if (ended.status === 'succeeded') {
      await sendStored(request, response, ended.output, store);
    } else {
      const why =
        ended.status !== 'canceled' ? `: ${ended.error.code}, ${ended.error.message}` : '';
      throw new Problem('not_ready', `${id} ended ${ended.status}${why}`);
    }
  });

  router.get('/predictions/:id/input/:field', async (request, response) => {
    const { accepted, ended } = await reader.find(
      parsePredictionId(request.params.id),
      tenantOf(response),
    );
    const { field } = request.params;
    const input = Object.hasOwn(accepted.input, field) ? accepted.input[field] : undefined;
    if (input === undefined) {
      throw new Problem('not_found', `${accepted.id} has no input ${field}`);
    }
    const stored = input.kind === 'url' ? fetchedInput(field, ended) : input;
    await sendStored(request, response, stored, store);
  });

  router.get('/predictions/:id/history', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    response.json(listOf(await reader.history(id, tenantOf(response))));
  });
  return router;
}

/** What was fetched from an input's URL is known when the prediction has ended. */
function fetchedInput(field: string, ended: Ended | null): Stored {
  const claim = ended?.fetched?.[field];
  if (claim !== undefined) return { kind: 'claim', claim };
  throw new Problem(
    'not_found',
    ended === null
      ? `${field} is fetched from its URL: it can be read here when the prediction has ended`
      : `${field} was never fetched from its URL`,
  );
}

async function sendStored(
  request: Request,
  response: Response,
  stored: Stored,
  store: PayloadStore,
): Promise<void> {
  if (stored.kind === 'inline') {
    response.json(stored.value satisfies Json);
    return;
  }
  const { bytes, media_type: mediaType, sha256 } = stored.claim;
  const etag = `"${sha256}"`;
  if (isKnown(request, etag)) {
    response.set('ETag', etag).status(304).end();
    return;
  }
  const isHead = request.method === 'HEAD'; // then the payload need not be read
  if (!isHead) roomFor(response).take(Math.min(bytes, SMALL_BYTES)); // larger ones are read piece by piece
  const body = isHead ? null : await openClaim(store, stored.claim);
  response.type(mediaType).set({
    'Content-Length': String(bytes),
    ETag: etag,
    'Content-Security-Policy': 'sandbox', // a stranger's bytes on our origin
  });
  if (body === null) response.end();
  else await pipeline(body, response).catch(() => response.destroy()); // the store or the client ended too early
}

/** Whether the client has these bytes already: `If-None-Match` (RFC 9110, section 13.1.2). */
function isKnown(request: Request, etag: string): boolean {
  const tags = (request.get('If-None-Match') ?? '').split(',').map((tag) => tag.trim());
  return tags.some((tag) => tag === '*' || tag.replace(/^W\//, '') === etag);
}
