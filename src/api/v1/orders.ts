/* What a request for a prediction orders, in each of the shapes that its body may have. */
import type { Readable } from 'node:stream';
import type { Request, Response } from 'express';
import { type Claim, JSON_MEDIA_TYPE } from '../../contract/payload.ts';
import type { ModelVersion } from '../../models/repository.ts';
import {
  inField,
  jsonInputs,
  type Order,
  type OrderHead,
  type OrderInput,
  withEncoded,
  withInputs,
} from '../../submission/order.ts';
import { parseJson } from '../http/json-text.ts';
import { readForm, REQUEST_PART } from '../http/multipart.ts';
import { Problem } from '../http/problems.ts';
import { invalidAt } from '../../contract/refusal.ts';
import { rawBody, requireBody } from '../http/requests.ts';
import { INPUT, parseBody } from '../../submission/parse.ts';
import { type ModelRequest, restSchema } from '../../submission/request-schema.ts';
import { cancelAfter } from './cancel-after.ts';

/** An order that comes as JSON. */
export const orderOf = (
  http: Request,
  head: OrderHead,
  { input, ...terms }: ModelRequest,
  json: unknown,
): Order => ({
  ...head,
  inputs: jsonInputs(head.version, input),
  terms: cancelAfter(http, terms),
  asSent: [http.params['model'] ?? null, json, http.get('Cancel-After') ?? null],
});

/** The media types of raw bodies that a model takes. */
const rawTypesOf = ({ schema }: ModelVersion): readonly string[] => {
  const [first, ...others] = Object.values(schema.media);
  const isMedia = first !== undefined && others.length === 0;
  return [...(isMedia ? first.accept : []), ...Object.keys(schema.bodies)];
};

/**
 * An order that comes as raw bytes: the model's single media input, or a form of its own (`bodies`).
 * `?request=` holds the rest as JSON.
 */
export async function rawOrder(
  request: Request,
  response: Response,
  head: OrderHead,
  readWhole: (request: Request, response: Response) => Promise<Buffer>,
): Promise<Order> {
  requireBody(request);
  const { schema } = head.version;
  const own = request.is(Object.keys(schema.bodies));
  const form = typeof own === 'string' ? schema.bodies[own] : undefined;
  const [media] = Object.keys(schema.media);
  const isMedia = media !== undefined && !!request.is([...rawTypesOf(head.version), OCTETS]);
  if (form === undefined && !isMedia) throw unsupported(request, head.version);
  const given = request.query['request']; // an array when it is given twice, which is no JSON either
  const asSent =
    given === undefined
      ? {}
      : parseJson(
          Buffer.from(typeof given === 'string' ? given : ''),
          'the query parameter request',
        );
  const rest = parseBody(restSchema, asSent, [], INPUT);
  if (form !== undefined) {
    const bytes = await readWhole(request, response);
    const { input, field, ...encoded } = inField(() => form(bytes), []);
    const order = orderOf(request, head, { ...rest, input }, asSent);
    return { ...order, inputs: withEncoded(order.inputs, field, encoded) };
  }
  requirePlain(request);
  const order = orderOf(request, head, rest, asSent);
  const body: OrderInput = { kind: 'stream', body: rawBody(request) };
  return { ...order, inputs: withInputs(order.inputs, { [media ?? '']: body }) };
}

const OCTETS = 'application/octet-stream';

function unsupported(request: Request, version: ModelVersion): Problem {
  const form = Object.keys(version.schema.media).length > 0 ? ['multipart/form-data'] : [];
  const accepted = [JSON_MEDIA_TYPE, ...rawTypesOf(version), ...form].join(', ');
  const given = request.get('Content-Type') ?? 'no Content-Type';
  const detail = `${version.ref.name} takes ${accepted}; this came with ${given}`;
  return new Problem('unsupported_media_type', detail, { headers: { Accept: accepted } });
}

/**
 * An order that comes as a form: each file is the media input of that name, which `upload` stores, and the part
 * `request` the rest.
 */
export async function formOrder(
  http: Request,
  head: OrderHead,
  upload: (field: string, body: Readable) => Promise<Claim>,
): Promise<Order> {
  requirePlain(http);
  requireNoRequestQuery(http);
  const files: Record<string, OrderInput> = {};
  const maxFiles = Object.keys(head.version.schema.media).length;
  if (maxFiles === 0) throw unsupported(http, head.version); // no file could be one of its inputs
  const shape = { maxFiles, texts: [REQUEST_PART] };
  const texts = await readForm(http, shape, async ({ name: field, body }) => {
    const claim = await upload(field, body);
    if (Object.hasOwn(files, field)) throw invalidAt(`/input/${field}`, 'comes twice');
    files[field] = { kind: 'stored', claim };
  });
  const text = texts.get(REQUEST_PART);
  const asSent = text === undefined ? {} : parseJson(Buffer.from(text), `the part ${REQUEST_PART}`);
  const rest = parseBody(restSchema, asSent, [], INPUT);
  const order = orderOf(http, head, rest, asSent);
  return { ...order, inputs: withInputs(order.inputs, files) };
}

/** Refuses `?request=` beside a body that has a place for the same: one of the two would be ignored. */
export function requireNoRequestQuery({ query }: Pick<Request, 'query'>): void {
  if (query['request'] === undefined) return;
  const detail = 'in the query, request is for raw bodies only: put what it says into this body';
  throw new Problem('malformed_request', detail);
}

/** Refuses a `Content-Encoding`: media is stored as it is sent. */
export function requirePlain(request: Request): void {
  const encoding = request.get('Content-Encoding') ?? 'identity';
  if (encoding === 'identity') return;
  const detail = `Content-Encoding: ${encoding} is not unpacked here: send the bytes as they are`;
  throw new Problem('unsupported_media_type', detail);
}
