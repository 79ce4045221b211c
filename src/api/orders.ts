/* What a request for a prediction orders, in each of the shapes that its body may have. */
import type { Readable } from 'node:stream';
import type { Request, Response } from 'express';
import { type Claim, JSON_MEDIA_TYPE } from '../contract/payload.ts';
import type { ModelVersion } from '../model/repository.ts';
import { tenantOf } from './access.ts';
import { idempotencyKey } from './idempotency.ts';
import { readForm, REQUEST_PART } from './multipart.ts';
import { invalidAt, Problem } from './problems.ts';
import { requireBody } from './requests.ts';
import { type ModelRequest, parseBody, restSchema } from './schemas.ts';
import type { Attachment } from './store-input.ts';
import { cancelAfter } from './terms.ts';
import { traceparentOf } from './traceparent.ts';

/** What is known of a request for a prediction before its body is read. */
export interface OrderHead {
  readonly tenant: string;
  /** The trace that it is part of (W3C), for everything that it causes. */
  readonly traceparent: string | null;
  readonly version: ModelVersion;
  /** Null: it is a new prediction, whatever was asked before. */
  readonly idempotencyKey: string | null;
}

/** Stores a file that came with a request. */
export type StoreFile = (field: string, body: Readable) => Promise<Claim>;

/** One request for a prediction. */
export interface PredictionOrder extends OrderHead {
  readonly request: ModelRequest;
  /** All of it but media, before any of our defaults: what a repetition is compared by. */
  readonly asSent: unknown;
  readonly attachment: Attachment | null;
}

/** What its headers say. */
export const orderHead = (
  request: Request,
  response: Response,
  version: ModelVersion,
): OrderHead => ({
  tenant: tenantOf(response),
  traceparent: traceparentOf(request),
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
  requirePlain(request);
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
): Promise<PredictionOrder> {
  requirePlain(http);
  const claims: Record<string, Claim> = {};
  const maxFiles = Object.keys(head.version.schema.media).length;
  const text = await readForm(http, maxFiles, async (field, body) => {
    const claim = await store(field, body);
    if (Object.hasOwn(claims, field)) throw invalidAt(`/input/${field}`, 'comes twice');
    claims[field] = claim;
  });
  const asSent = text === null ? {} : jsonIn(text, `the part ${REQUEST_PART}`);
  const { input = {}, ...rest } = parseBody(restSchema, asSent);
  return { ...orderOf(http, head, { ...rest, input }, asSent), attachment: { claims } };
}

/** Media is taken as it is: nothing is unpacked. */
function requirePlain(request: Request): void {
  const encoding = request.get('Content-Encoding') ?? 'identity';
  if (encoding === 'identity') return;
  const detail = `Content-Encoding: ${encoding} is not unpacked here: send the bytes as they are`;
  throw new Problem('unsupported_media_type', detail);
}

function jsonIn(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Problem('malformed_request', `${what} is not JSON`, { cause: error });
  }
}
