import type { Request } from 'express';
import { Problem } from './problems.ts';

/** The draft of the IETF sets no length: this is long enough for a UUID or a path. */
const KEY = /^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/;

/** The header `Idempotency-Key`; null when there is none. Throws a problem when it cannot be one. */
export function idempotencyKey(request: Request): string | null {
  const given = request.headersDistinct['idempotency-key'];
  if (given === undefined) return null;
  const [key = '', ...others] = given;
  if (others.length === 0 && KEY.test(key)) return key;
  throw new Problem(
    'malformed_request',
    'Idempotency-Key must be one value of 1 to 255 printable ASCII characters',
  );
}
