import type { Request, Response } from 'express';
import { Problem } from './problems.ts';

/** A client may wait this long within one request, and does when it does not say how long. */
const MAX_WAIT_S = 60;

/**
 * Seconds asked for by `Prefer: wait` or `Prefer: wait=n` (RFC 7240), clamped to 60; null when the
 * header does not ask to wait. Says in `Preference-Applied` what is done.
 */
export function preferredWait(request: Request, response: Response): number | null {
  const preferences = (request.get('Prefer') ?? '').split(',').map((part) => part.trim());
  for (const preference of preferences) {
    const [name = '', value] = preference.split('=').map((part) => part.trim());
    if (name.toLowerCase() !== 'wait') continue;
    if (value !== undefined && !/^"?\d+"?$/.test(value)) {
      throw new Problem('malformed_request', `Prefer: ${preference} is not a number of seconds`);
    }
    const seconds = Math.min(MAX_WAIT_S, Number(value?.replaceAll('"', '') ?? MAX_WAIT_S));
    response.set('Preference-Applied', `wait=${seconds}`);
    return seconds;
  }
  return null;
}

/** Aborts after so many seconds, and when the client hangs up. */
export function waitSignal(response: Response, seconds: number): AbortSignal {
  const hangUp = new AbortController();
  response.once('close', () => hangUp.abort());
  return AbortSignal.any([hangUp.signal, AbortSignal.timeout(seconds * 1000)]);
}
