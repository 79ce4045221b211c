import type { Request, Response } from 'express';
import { preferredWait } from '../http/prefer.ts';
import { parseQuery } from '../http/queries.ts';
import { waitQuerySchema } from './schemas.ts';

/**
 * How many seconds a request asks to wait: by its `wait` parameter, else by its `Prefer` header; null when
 * by neither. Refuses any other query parameter, but those of the `schema` that is given.
 */
export function waitSecondsOf(
  request: Request,
  response: Response,
  schema: typeof waitQuerySchema = waitQuerySchema,
): number | null {
  return parseQuery(schema, request.query).wait ?? preferredWait(request, response);
}
