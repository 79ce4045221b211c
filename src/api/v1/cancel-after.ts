import type { Request } from 'express';
import { parseDurationMs } from '../../contract/duration.ts';
import type { OrderTerms } from '../../submission/request-schema.ts';
import { Problem } from '../http/problems.ts';

/** A deadline as a header, for clients that do not make the body: `Cancel-After: 1h30m`. */
export function cancelAfter(request: Request, terms: OrderTerms): OrderTerms {
  const header = request.get('Cancel-After');
  if (header === undefined) return terms;
  const headerMs = parseDurationMs(header);
  if (headerMs === null) {
    throw new Problem('malformed_request', `Cancel-After: ${header} is no duration such as 1h30m`);
  }
  if (terms.deadline !== undefined && parseDurationMs(terms.deadline) !== headerMs) {
    const detail = `Cancel-After: ${header} and the deadline ${terms.deadline} contradict each other`;
    throw new Problem('malformed_request', detail);
  }
  return { ...terms, deadline: header };
}
