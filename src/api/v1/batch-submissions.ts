/* POST /v1/batches: many inputs for one model, as JSON or as JSON Lines. */
import { type Request, type Response, Router } from 'express';
import { JSON_MEDIA_TYPE } from '../../contract/payload.ts';
import type { Acceptance } from '../../submission/acceptance.ts';
import type { BatchAcceptance, BatchOrder } from '../../submission/batch-acceptance.ts';
import { parseBody } from '../../submission/parse.ts';
import { batchRequestSchema, batchTermsSchema } from '../../submission/request-schema.ts';
import type { Bodies } from '../http/bodies.ts';
import { parseJson } from '../http/json-text.ts';
import { orderHead } from '../http/order-head.ts';
import { Problem } from '../http/problems.ts';
import { parseQuery } from '../http/queries.ts';
import { rawBody, requireBody } from '../http/requests.ts';
import { type BatchAnswering, sendStarted } from './batch-answers.ts';
import { cancelAfter } from './cancel-after.ts';
import { requireNoRequestQuery, requirePlain } from './orders.ts';
import { batchQuerySchema } from './schemas.ts';

/** What people call JSON Lines; none of these is registered. */
const LINES = [
  'application/jsonl',
  'application/x-ndjson',
  'application/ndjson',
  'application/x-jsonlines',
  'application/json-lines',
];

export interface BatchSubmissionDependencies extends BatchAnswering {
  readonly acceptance: Acceptance;
  readonly batchAcceptance: BatchAcceptance;
  readonly bodies: Bodies;
}

export function batchSubmissionsRouter(dependencies: BatchSubmissionDependencies): Router {
  const { acceptance, batchAcceptance, bodies } = dependencies;
  const router = Router();
  router.post('/batches', bodies.json, async (request, response) => {
    requireBody(request);
    const order = request.is(JSON_MEDIA_TYPE)
      ? jsonOrder(request, response, acceptance)
      : linesOrder(request, response, acceptance);
    await sendStarted(response, await batchAcceptance.accept(order), dependencies);
  });
  return router;
}

function jsonOrder(request: Request, response: Response, acceptance: Acceptance): BatchOrder {
  requireNoRequestQuery(request);
  if (request.query['model'] !== undefined) {
    const detail = 'in the query, model is for JSON Lines only: put it into this body';
    throw new Problem('malformed_request', detail);
  }
  const isItems = ([first]: readonly string[]) => first === 'items';
  const parsed = parseBody(batchRequestSchema, request.body, [], isItems);
  const { model, items, input_file_id: fileId, ...terms } = parsed;
  const { items: _items, ...asSent } = request.body as Record<string, unknown>;
  const head = orderHead(request, response, acceptance.resolve(model));
  return {
    ...head,
    terms: cancelAfter(request, terms),
    lines: fileId === undefined ? linesOf(items ?? []) : { fileId },
    areListed: fileId === undefined,
    asSent: [asSent, request.get('Cancel-After') ?? null],
  };
}

async function* linesOf(items: readonly unknown[]): AsyncGenerator<Uint8Array> {
  for (const item of items) yield Buffer.from(`${JSON.stringify(item)}\n`);
}

/** Beside JSON Lines, `?model=` and `?request=` say the rest. */
function linesOrder(request: Request, response: Response, acceptance: Acceptance): BatchOrder {
  if (!request.is(LINES)) throw unsupported(request);
  requirePlain(request);
  const { model, request: given } = parseQuery(batchQuerySchema, request.query);
  if (model === undefined) {
    throw new Problem('malformed_request', 'in the query, model is missing: ?model=<name>');
  }
  const rest =
    given === undefined ? {} : parseJson(Buffer.from(given), 'the query parameter request');
  const terms = parseBody(batchTermsSchema, rest);
  return {
    ...orderHead(request, response, acceptance.resolve(model)),
    terms: cancelAfter(request, terms),
    lines: rawBody(request),
    asSent: [{ ...(rest as object), model }, request.get('Cancel-After') ?? null],
  };
}

function unsupported(request: Request): Problem {
  const accepted = [JSON_MEDIA_TYPE, ...LINES].join(', ');
  const given = request.get('Content-Type') ?? 'no Content-Type';
  const detail = `a batch comes as ${accepted}; this came with ${given}`;
  return new Problem('unsupported_media_type', detail, { headers: { Accept: accepted } });
}
