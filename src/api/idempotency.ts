/* The same request sent again is the same prediction: its id and its fingerprint. */
import { createHash } from 'node:crypto';
import type { Request } from 'express';
import { crockford } from './new-id.ts';
import { Problem } from './problems.ts';

/** What the IETF's draft leaves open; long enough for a UUID or a path. */
const KEY = /^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/;
const ID_BITS = 130n;

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

/** The id of every prediction that a tenant asks for with this key: 130 bits of a hash of both. */
export function idempotentId(tenant: string, key: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([tenant, key]))
    .digest('hex');
  return `pred_${crockford(BigInt(`0x${hash}`) >> (256n - ID_BITS))}`;
}

/**
 * What was asked: JSON as it was sent, whatever the order of its members, and the hashes of media
 * that came beside it, by field.
 */
export function fingerprint(request: unknown, media: Readonly<Record<string, string>>): string {
  const text = JSON.stringify([request, media], inOrder);
  return createHash('sha256').update(text).digest('hex');
}

/** Gives each object its members in the order of their names. */
function inOrder(_name: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : Number(a > b))),
  );
}
