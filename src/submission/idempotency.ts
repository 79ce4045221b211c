/* The same request sent again is the same prediction: its id and its fingerprint. */
import { createHash } from 'node:crypto';
import { crockford } from '../contract/ids.ts';

const ID_BITS = 130n;

/** The id of everything of a kind that a tenant asks for with this key: 130 bits of a hash of all three. */
export function idempotentId(prefix: 'pred' | 'batch', tenant: string, key: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([prefix, tenant, key]))
    .digest('hex');
  return `${prefix}_${crockford(BigInt(`0x${hash}`) >> (256n - ID_BITS))}`;
}

/**
 * What was asked: JSON as it was sent, whatever the order of its members, and the hashes of media
 * that came beside it, by field.
 */
export function fingerprint(request: unknown, media: Readonly<Record<string, string>>): string {
  return createHash('sha256')
    .update(canonical([request, media]))
    .digest('hex');
}

/** JSON with the members of each object sorted by name. Flat arrays are written at once, which is fast. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) {
    const isFlat = value.every((element) => typeof element !== 'object' || element === null);
    return isFlat ? JSON.stringify(value) : `[${value.map(canonical).join(',')}]`;
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : Number(a > b)));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`;
}
