import type { Request, Response } from 'express';
import { Problem } from './problems.ts';

/** The longest wait within one request, and the wait of a client that does not say how long. */
export const MAX_WAIT_S = 60;

/**
 * Seconds asked for by `Prefer: wait` or `Prefer: wait=n` (RFC 7240), clamped to 60; null when the
 * header does not ask to wait. Says in `Preference-Applied` what is done.
 */
export function preferredWait(request: Pick<Request, 'get'>, response: Response): number | null {
  for (const preference of preferencesOf(request)) {
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

/** Whether `Prefer: respond-async` asks not to wait at all. Says so in `Preference-Applied`. */
export function prefersAsync(request: Request, response: Response): boolean {
  const isAsync = preferencesOf(request).some((name) => name.toLowerCase() === 'respond-async');
  if (isAsync) response.set('Preference-Applied', 'respond-async');
  return isAsync;
}

const preferencesOf = (request: Pick<Request, 'get'>): readonly string[] =>
  (request.get('Prefer') ?? '').split(',').map((part) => part.trim());
