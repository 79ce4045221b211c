import type { Request } from 'express';

/** Version, trace id, parent id, flags: https://www.w3.org/TR/trace-context/#traceparent-header */
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The trace that a request is part of; null when it does not say so, or not as the standard has it. */
export function traceparentOf(request: Request): string | null {
  const given = request.get('traceparent');
  return given !== undefined && TRACEPARENT.test(given) ? given : null;
}
