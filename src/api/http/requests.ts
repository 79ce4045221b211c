/* What a request must be, whatever it asks. */
import type { Request } from 'express';
import { ENDPOINT_ID, isBatchId, isFileId, isPredictionId } from '../../contract/ids.ts';
import { JSON_MEDIA_TYPE } from '../../contract/payload.ts';
import { Problem } from './problems.ts';

/** Throws a problem unless there is a body, and it is JSON. */
export function requireJson(request: Request): void {
  requireBody(request);
  if (request.is(JSON_MEDIA_TYPE)) return;
  throw new Problem(
    'unsupported_media_type',
    'send application/json here; media bytes go to /v1/models/{model}/predictions',
    { headers: { Accept: JSON_MEDIA_TYPE } },
  );
}

/** The JSON of a body that may be missing; throws a problem when there is one, and it is not JSON. */
export function optionalJson(request: Request): unknown {
  if (request.is('*/*') === null || request.get('Content-Length') === '0') return {};
  requireJson(request);
  return request.body as unknown;
}

/** Throws a problem unless there is a body. (`is` answers null, whatever it is asked, when there is none.) */
export function requireBody(request: Request): void {
  if (request.is('*/*') !== null || request.headers['content-type'] === undefined) return;
  throw new Problem('malformed_request', 'the body is empty');
}

/** The bytes of a body. When reading fails, the request is not destroyed: the answer needs its connection. */
export const rawBody = (request: Request): AsyncIterable<Uint8Array> =>
  request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;

/** Throws a problem when it is none. */
export function parsePredictionId(text: string): string {
  if (isPredictionId(text)) return text;
  throw new Problem(
    'malformed_request',
    `${text} is not a prediction id (pred_ and 26 characters)`,
  );
}

/** Throws a problem when it is none. */
export function parseBatchId(text: string): string {
  if (isBatchId(text)) return text;
  throw new Problem('malformed_request', `${text} is not a batch id (batch_ and 26 characters)`);
}

/** Throws a problem when it is none. */
export function parseFileId(text: string): string {
  if (isFileId(text)) return text;
  throw new Problem('malformed_request', `${text} is not a file id (file_ and 26 characters)`);
}

/** Throws a problem when it is none. */
export function parseEndpointId(text: string): string {
  if (ENDPOINT_ID.test(text)) return text;
  throw new Problem('malformed_request', `${text} is not an endpoint id (whe_ and 26 characters)`);
}
