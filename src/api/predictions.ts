/* /v1/predictions and /v1/models/{model}/predictions */
import { pipeline } from 'node:stream/promises';
import { type Request, type Response, Router } from 'express';
import { type Json, JSON_MEDIA_TYPE, type Stored } from '../contract/payload.ts';
import { type Ended, isFinal, type Prediction } from '../contract/prediction.ts';
import { openClaim } from '../storage/claims.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import { tenantOf } from './access.ts';
import type { Acceptance, AcceptedOrder } from './acceptance.ts';
import { type Bodies, releaseBody } from './bodies.ts';
import { listOf } from './lists.ts';
import type { Load } from './load.ts';
import {
  formOrder,
  type OrderHead,
  orderHead,
  orderOf,
  type PredictionOrder,
  rawOrder,
  requireNoRequestQuery,
} from './orders.ts';
import type { PredictionReader } from './prediction-reader.ts';
import { Problem } from './problems.ts';
import type { QuotaKeeper } from './quotas.ts';
import { logAbout } from './request-log.ts';
import { parsePredictionId, requireJson } from './requests.ts';
import {
  INPUT,
  modelRequestSchema,
  parseBody,
  parseQuery,
  requestSchema,
  submitQuerySchema,
  waitQuerySchema,
} from './schemas.ts';
import { preferredWait } from './prefer.ts';
import { sendRecord } from './send-record.ts';
import { withoutOutput } from './shown-record.ts';
import type { Waits } from './waits.ts';

export interface PredictionsDependencies {
  readonly acceptance: Acceptance;
  readonly reader: PredictionReader;
  readonly engine: PredictionEngine;
  readonly quotas: QuotaKeeper;
  readonly waits: Waits;
  readonly load: Load;
  readonly bodies: Bodies;
  readonly limits: { readonly maxUploadBytes: number };
}

export function predictionsRouter(dependencies: PredictionsDependencies): Router {
  const { acceptance, reader, engine, waits, load } = dependencies;
  const router = Router();
  const { json } = dependencies.bodies;
  const readWhole = async (request: Request, response: Response) =>
    await dependencies.bodies.read(request, response, dependencies.limits.maxUploadBytes);

  router.post('/predictions', json, async (request, response) => {
    requireJson(request);
    const waitS =
      parseQuery(waitQuerySchema, request.query).wait ?? preferredWait(request, response);
    const { model, ...rest } = parseBody(requestSchema, request.body, [], INPUT);
    const head = orderHead(request, response, acceptance.resolve(model));
    const order = orderOf(request, head, rest, request.body);
    await answerAccepted(response, await acceptance.accept(order), waitS, dependencies);
  });

  router.post('/models/:model/predictions', json, async (request, response) => {
    const { wait } = parseQuery(submitQuerySchema, request.query);
    const waitS = wait ?? preferredWait(request, response);
    const head = orderHead(request, response, acceptance.resolve(request.params.model));
    const accepted = request.is('multipart/form-data')
      ? await acceptance.acceptUpload(head, async (store) => {
          return await formOrder(request, head, store);
        })
      : await acceptance.accept(
          request.is(JSON_MEDIA_TYPE)
            ? jsonOrder(request, head)
            : await rawOrder(request, response, head, readWhole),
        );
    await answerAccepted(response, accepted, waitS, dependencies);
  });

  router.get('/predictions/:id', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const tenant = tenantOf(response);
    const { wait } = parseQuery(waitQuerySchema, request.query);
    const seconds = wait ?? preferredWait(request, response);
    let record = await reader.read(id, tenant);
    if (seconds !== null && !isFinal(record)) {
      await waits.bounded(response, seconds, async (signal) => await engine.waitForEnd(id, signal));
      record = await reader.read(id, tenant);
    }
    await sendRecord(response, 200, record, load);
  });

  router.post('/predictions/:id/cancel', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const tenant = tenantOf(response);
    const { ended } = await reader.find(id, tenant);
    if (ended === null) await engine.cancel(id);
    const record = withoutOutput(await reader.read(id, tenant, false));
    await sendRecord(response, ended === null ? 202 : 200, record, load);
  });
  return router;
}

function jsonOrder(request: Request, head: OrderHead): PredictionOrder {
  requireNoRequestQuery(request);
  return orderOf(
    request,
    head,
    parseBody(modelRequestSchema, request.body, [], INPUT),
    request.body,
  );
}

/** What a prediction was given and what it gave, as they are, and what happened in between. */
export function payloadsRouter(dependencies: {
  readonly reader: PredictionReader;
  readonly store: PayloadStore;
  readonly load: Load;
}): Router {
  const { reader, store, load } = dependencies;
  const router = Router();
  router.get('/predictions/:id/output', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const tenant = tenantOf(response);
    const { ended } = await reader.find(id, tenant);
    if (ended === null) {
      await sendRecord(response, 202, await reader.read(id, tenant), load);
    } else if (ended.status === 'succeeded') {
      await sendStored(response, ended.output, store);
    } else {
      const why = 'error' in ended ? `: ${ended.error.code}, ${ended.error.message}` : '';
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
    await sendStored(response, 'fetch' in input ? fetchedInput(field, ended) : input, store);
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
  if (claim !== undefined) return { claim };
  throw new Problem(
    'not_found',
    ended === null
      ? `${field} is fetched from its URL: it can be read here when the prediction has ended`
      : `${field} was never fetched from its URL`,
  );
}

/**
 * 202 with the record, or 200 with the final one when the client waits and it ends in time. It has
 * been accepted: whatever fails from here on, the client learns its id.
 */
export async function answerAccepted(
  response: Response,
  order: AcceptedOrder,
  waitS: number | null,
  dependencies: PredictionsDependencies,
): Promise<void> {
  const { reader, quotas, load } = dependencies;
  const { accepted, isReplayed } = order;
  logAbout(response, accepted.id);
  releaseBody(response);
  if (isReplayed) response.setHeader('Idempotency-Replayed', 'true');
  const record = await afterWaiting(response, order, waitS, dependencies).catch(
    async (error: unknown) => {
      if (isReplayed) throw error; // it is not new: it may have ended, or expired
      return await reader.justAccepted(accepted);
    },
  );
  response.set('Location', record.urls.get).set(quotas.headers(accepted.tenant));
  await sendRecord(response, isFinal(record) ? 200 : 202, record, load);
}

async function afterWaiting(
  response: Response,
  { accepted, isReplayed }: AcceptedOrder,
  waitS: number | null,
  { reader, engine, waits }: PredictionsDependencies,
): Promise<Prediction> {
  if (waitS === null) {
    return isReplayed
      ? await reader.read(accepted.id, accepted.tenant)
      : await reader.justAccepted(accepted);
  }
  const wait = async (signal: AbortSignal) => await engine.waitForEnd(accepted.id, signal);
  const ended = await waits.bounded(response, waitS, wait);
  const mustRead = ended === null || isReplayed;
  return mustRead
    ? await reader.read(accepted.id, accepted.tenant)
    : await reader.ended(accepted, ended);
}

async function sendStored(response: Response, stored: Stored, store: PayloadStore): Promise<void> {
  if ('inline' in stored) {
    response.json(stored.inline satisfies Json);
    return;
  }
  const { bytes, media_type: mediaType, sha256 } = stored.claim;
  const body = await openClaim(store, stored.claim);
  response.type(mediaType).set({
    'Content-Length': String(bytes),
    ETag: `"${sha256}"`,
    'Content-Security-Policy': 'sandbox', // a stranger's bytes on our origin
  });
  await pipeline(body, response).catch(() => response.destroy()); // it broke off, at either end
}
