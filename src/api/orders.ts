/* What a request for a prediction orders, in each of the shapes that its body may have. */
import type { Request, Response } from 'express';
import { type Claim, JSON_MEDIA_TYPE } from '../contract/payload.ts';
import type { ModelVersion } from '../model/repository.ts';
import { tenantOf } from './access.ts';
import type { OrderHead, PredictionOrder, StoreFile } from './acceptance.ts';
import { idempotencyKey } from './idempotency.ts';
import { readForm, REQUEST_PART } from './multipart.ts';
import { Problem } from './problems.ts';
import { requireBody } from './requests.ts';
import { type ModelRequest, parseBody, restSchema } from './schemas.ts';
import { cancelAfter } from './terms.ts';
import { traceparentOf } from './traceparent.ts';

/** What its headers say. */
export const orderHead = (
  request: Request,
  response: Response,
  version: ModelVersion,
): OrderHead => ({
  tenant: tenantOf(response),
  traceparent: traceparentOf(request) ?? null,
  version,
  idempotencyKey: idempotencyKey(request),
});

/** One that comes as JSON. */
export const orderOf = (
  http: Request,
  head: OrderHead,
  request: ModelRequest,
  json: unknown,
): PredictionOrder => ({
  ...head,
  request: cancelAfter(http, request),
  asSent: [http.params['model'] ?? null, json, http.get('Cancel-After') ?? null],
  attachment: null,
});

/** One that comes as media: the model's single media input. `?request=` holds the rest as JSON. */
export function rawOrder(request: Request, head: OrderHead): PredictionOrder {
  requireBody(request);
  const { ref, schema } = head.version;
  const [first, ...others] = Object.entries(schema.media);
  const mediaTypes = first === undefined || others.length > 0 ? [] : first[1].accept;
  if (first === undefined || !request.is([...mediaTypes, 'application/octet-stream'])) {
    const isMedia = Object.keys(schema.media).length > 0;
    const form = isMedia ? ['multipart/form-data'] : [];
    const accepted = [JSON_MEDIA_TYPE, ...mediaTypes, ...form].join(', ');
    const given = request.get('Content-Type') ?? 'no Content-Type';
    throw new Problem(
      'unsupported_media_type',
      `${ref.name} takes ${accepted}; this came with ${given}`,
      { headers: { Accept: accepted } },
    );
  }
  const given = request.query['request']; // an array, when given twice, is not JSON either
  const asSent = given === undefined ? {} : jsonIn(given as string, 'the query parameter request');
  const { input = {}, ...rest } = parseBody(restSchema, asSent);
  const order = orderOf(request, head, { ...rest, input }, asSent);
  return { ...order, attachment: { field: first[0], body: request } };
}

/** One that comes as a form: each file is the media input of that name, the part `request` the rest. */
export async function formOrder(
  http: Request,
  head: OrderHead,
  store: StoreFile,
  maxJsonBytes: number,
): Promise<PredictionOrder> {
  const claims: Record<string, Claim> = {};
  const maxFiles = Object.keys(head.version.schema.media).length;
  const text = await readForm(http, { maxJsonBytes, maxFiles }, async (field, body) => {
    const claim = await store(field, body);
    if (field in claims) throw new Problem('invalid_input', `/input/${field} comes twice`);
    claims[field] = claim;
  });
  const asSent = text === null ? {} : jsonIn(text, `the part ${REQUEST_PART}`);
  const { input = {}, ...rest } = parseBody(restSchema, asSent);
  return { ...orderOf(http, head, { ...rest, input }, asSent), attachment: { claims } };
}

function jsonIn(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Problem('malformed_request', `${what} is not JSON`, { cause: error });
  }
}
