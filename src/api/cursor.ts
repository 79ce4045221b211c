/* Where a list goes on. */
import { createHash } from 'node:crypto';
import { Problem } from './problems.ts';

const CHECKSUM_BYTES = 6;
const checksum = (token: Uint8Array): Buffer =>
  createHash('sha256').update(token).digest().subarray(0, CHECKSUM_BYTES);

/** The server's token behind a checksum: it takes seconds to refuse one that it did not give. */
export const writeCursor = (token: Uint8Array): string =>
  Buffer.concat([checksum(token), token]).toString('base64url');

/** Throws a problem when it is not one that a list gave. */
export function readCursor(cursor: string): Buffer {
  const bytes = Buffer.from(cursor, 'base64url');
  const token = bytes.subarray(CHECKSUM_BYTES);
  if (checksum(token).equals(bytes.subarray(0, CHECKSUM_BYTES))) return token;
  throw new Problem('malformed_request', 'query: the cursor is not one that a list gave');
}
