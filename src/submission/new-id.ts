import { randomBytes } from 'node:crypto';

const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz';
const DIGITS = 26;

/** `pred_` or such + 48 bits of time and 80 random bits in Crockford's base 32: ids sort by time. */
export function newId(
  prefix: 'pred' | 'batch' | 'file' | 'whe' | 'evt',
  nowMs: number = Date.now(),
): string {
  return `${prefix}_${crockford((BigInt(nowMs) << 80n) | BigInt(`0x${randomBytes(10).toString('hex')}`))}`;
}

/** 26 digits of Crockford's base 32: the lowest 130 bits. */
export function crockford(bits: bigint): string {
  let rest = bits;
  let text = '';
  for (let digit = 0; digit < DIGITS; digit++) {
    text = (CROCKFORD[Number(rest & 31n)] ?? '') + text;
    rest >>= 5n;
  }
  return text;
}
