import { randomBytes } from 'node:crypto';

const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz';

/** `pred_` or such + 48 bits of time and 80 random bits in Crockford's base 32: ids sort by time. */
export function newId(prefix: 'pred' | 'whe' | 'evt', nowMs: number = Date.now()): string {
  let bits = (BigInt(nowMs) << 80n) | BigInt(`0x${randomBytes(10).toString('hex')}`);
  let text = '';
  for (let digit = 0; digit < 26; digit++) {
    text = (CROCKFORD[Number(bits & 31n)] ?? '') + text;
    bits >>= 5n;
  }
  return `${prefix}_${text}`;
}
