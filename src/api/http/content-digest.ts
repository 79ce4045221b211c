import type { Request } from 'express';
import { Problem } from './problems.ts';

/**
 * The sha256 that a body is said to have, in lowercase hex: `Content-Digest: sha-256=:<base64>:` (RFC 9530). Null when
 * it is not said. Throws a problem when it cannot be one.
 */
export function contentDigest(request: Request): string | null {
  const header = request.get('Content-Digest');
  if (header === undefined) return null;
  const [, base64 = ''] = /(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?:,|$)/i.exec(header) ?? [];
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length === 32) return bytes.toString('hex');
  throw new Problem(
    'malformed_request',
    'Content-Digest must be sha-256=:<base64 of the hash>: (RFC 9530)',
  );
}
