import type { Request } from 'express';
import { parseDurationMs } from '../../contract/duration.ts';
import type { NormalRequest } from '../../submission/request-schema.ts';
import { Problem } from '../http/problems.ts';

/** A deadline as a header, for clients that do not make the body: `Cancel-After: 1h30m`. */
export function cancelAfter(request: Request, body: NormalRequest): NormalRequest {
  const header = request.get('Cancel-After');
  if (header === undefined) return body;
  const headerMs = parseDurationMs(header);
  if (headerMs === null) {
    throw new Problem('malformed_request', `Cancel-After: ${header} is no duration such as 1h30m`);
  }
  if (body.deadline !== undefined && parseDurationMs(body.deadline) !== headerMs) {
    const detail = `Cancel-After: ${header} and the deadline ${body.deadline} contradict each other`;
    throw new Problem('malformed_request', detail);
  }
  return { ...body, deadline: header };
}
