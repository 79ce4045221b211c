/* /openai/v1/batches: https://platform.openai.com/docs/api-reference/batch */
import { type Request, type Response, Router } from 'express';
import type { AcceptedBatch } from '../../contract/batch.ts';
import { BATCH_PRIORITY } from '../../contract/batch.ts';
import type { Claim } from '../../contract/payload.ts';
import { invalidAt, Refusal } from '../../contract/refusal.ts';
import { WorkflowMissingError } from '../../temporal/timely-calls.ts';
import type { BatchReader } from '../../records/batch-reader.ts';
import type { Files } from '../../files/files.ts';
import { openClaim } from '../../storage/claims.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import type { Acceptance } from '../../submission/acceptance.ts';
import type { BatchAcceptance } from '../../submission/batch-acceptance.ts';
import type { BatchEngine } from '../../temporal/batch-engine.ts';
import { tenantOf } from '../http/access.ts';
import type { Bodies } from '../http/bodies.ts';
import { orderHead } from '../http/order-head.ts';
import { parseQuery } from '../http/queries.ts';
import { parseBatchId } from '../http/requests.ts';
import { modelIn, translated } from './batch-lines.ts';
import { batchObject } from './batch-object.ts';
import { openAiList } from './files.ts';
import { bodyAs, versionFor } from './orders.ts';
import { batchListQuerySchema, batchSchema, type BatchRequest } from './schemas.ts';

/** A list is put in order from so many pages of the latest batches, in whatever dialect. */
const MAX_PAGES = 10;
const PAGE_SIZE = 100;

const TASKS = {
  '/v1/chat/completions': 'text-generation',
  '/v1/completions': 'text-generation',
  '/v1/embeddings': 'feature-extraction',
} as const;

export interface OpenAiBatchesDependencies {
  readonly batches: BatchEngine;
  readonly batchReader: BatchReader;
  readonly batchAcceptance: BatchAcceptance;
  readonly acceptance: Acceptance;
  readonly bodies: Bodies;
  readonly files: Files;
  readonly store: PayloadStore;
  readonly maxJsonBytes: number;
}

export function batchesRouter(dependencies: OpenAiBatchesDependencies): Router {
  const { batches, batchReader, bodies } = dependencies;
  const router = Router();
  const show = async (id: string, tenant: string) => {
    const { batch, accepted, ended } = await batchReader.readWhole(id, tenant);
    if (accepted.openai === undefined) throw new WorkflowMissingError(id); // it is none of this dialect
    return batchObject(batch, accepted, ended);
  };

  router.post('/batches', bodies.json, async (request, response) => {
    const accepted = await submit(request, response, dependencies);
    response.json(batchObject(await batchReader.justAccepted(accepted), accepted, null));
  });

  router.get('/batches', async (request, response) => {
    const { after, limit } = parseQuery(batchListQuerySchema, request.query);
    const tenant = tenantOf(response);
    const all = await latest(tenant, batches);
    const at = all.findIndex(({ id }) => id === after);
    if (after !== undefined && at === -1)
      throw invalidAt('/after', 'is none of the listed batches');
    const from = at + 1;
    const page = all.slice(from, from + limit);
    const shown = page.map(async ({ id }) => await show(id, tenant).catch(nullIfGone));
    const data = (await Promise.all(shown)).filter((batch) => batch !== null);
    response.json(openAiList(data, all.length > from + limit));
  });

  router.get('/batches/:id', async (request, response) => {
    response.json(await show(parseBatchId(request.params.id), tenantOf(response)));
  });

  router.post('/batches/:id/cancel', async (request, response) => {
    const id = parseBatchId(request.params.id);
    const tenant = tenantOf(response);
    const { completed_at, failed_at } = await show(id, tenant);
    if (completed_at === null && failed_at === null) await batches.cancel(id);
    response.json(await show(id, tenant));
  });
  return router;
}

/** It was deleted, or has expired, since it was listed. */
function nullIfGone(error: unknown): null {
  if (error instanceof WorkflowMissingError || error instanceof Refusal) return null;
  throw error;
}

async function submit(
  request: Request,
  response: Response,
  dependencies: OpenAiBatchesDependencies,
): Promise<AcceptedBatch> {
  const { acceptance, batchAcceptance, files, store, maxJsonBytes } = dependencies;
  const body: BatchRequest = bodyAs(batchSchema, request);
  const { input_file_id: fileId, endpoint, completion_window, metadata = {} } = body;
  const claim = await files.content(fileId, tenantOf(response));
  // The first line alone is read unchecked: all of it is checked when it is copied.
  const head = { offset: 0, bytes: Math.min(claim.bytes, maxJsonBytes + 1) };
  const first = (await openClaim(store, claim, head)) as AsyncIterable<Uint8Array>;
  const model = await modelIn(first, maxJsonBytes);
  const version = versionFor(acceptance, model, TASKS[endpoint]);
  const { accepted } = await batchAcceptance.accept({
    ...orderHead(request, response, version),
    terms: {
      options: {},
      metadata,
      tags: [],
      webhook: null,
      priority: BATCH_PRIORITY,
      deadline: completion_window,
    },
    lines: translated(whole(store, claim), { endpoint, model }, maxJsonBytes),
    areOurs: true,
    asSent: ['openai', request.body],
    openai: { endpoint, input_file_id: fileId, completion_window },
  });
  return accepted;
}

/** All of a file, which is checked before its first byte comes, and opened only then. */
async function* whole(store: PayloadStore, claim: Claim): AsyncGenerator<Uint8Array> {
  yield* (await openClaim(store, claim)) as AsyncIterable<Uint8Array>;
}

/** The latest batches of this dialect, the newest first. */
async function latest(tenant: string, batches: BatchEngine): Promise<readonly AcceptedBatch[]> {
  const found = new Map<string, AcceptedBatch>();
  let token: Uint8Array | null = null;
  let pages = 0;
  do {
    const page: Awaited<ReturnType<BatchEngine['list']>> = await batches.list(
      { tenant },
      { pageSize: PAGE_SIZE, token },
    );
    for (const { id, accepted } of page.rows) {
      if (accepted.openai !== undefined) found.set(id, accepted);
    }
    token = page.nextPageToken;
    pages += 1;
  } while (token !== null && pages < MAX_PAGES);
  return [...found.values()].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
}
