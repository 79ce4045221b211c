/* Ids: a prefix that says what the id is of, and 26 digits of Crockford's base 32. */

const DIGITS = '[0-9a-hjkmnp-tv-z]{26}';

const whole = (pattern: string) => new RegExp(`^${pattern}$`);

/** The id of a prediction or a batch, anywhere in a text. */
export const RECORD_ID_WITHIN = new RegExp(`(?:pred|batch)_${DIGITS}`);
export const PREDICTION_ID = whole(`pred_${DIGITS}`);
export const BATCH_ID = whole(`batch_${DIGITS}`);
export const FILE_ID = whole(`file_${DIGITS}`);
export const ENDPOINT_ID = whole(`whe_${DIGITS}`);

const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz';
const LENGTH = 26;

/** 26 digits of Crockford's base 32: the lowest 130 bits. */
export function crockford(bits: bigint): string {
  let rest = bits;
  let text = '';
  for (let digit = 0; digit < LENGTH; digit++) {
    text = (CROCKFORD[Number(rest & 31n)] ?? '') + text;
    rest >>= 5n;
  }
  return text;
}

/** `pred_` or such + 48 bits of time and 80 random bits (20 digits of hex): ids sort by time. */
export const timedId = (prefix: string, nowMs: number, randomHex: string): string =>
  `${prefix}_${crockford((BigInt(nowMs) << 80n) | BigInt(`0x${randomHex}`))}`;

export const isPredictionId = (text: string): boolean => PREDICTION_ID.test(text);
export const isFileId = (text: string): boolean => FILE_ID.test(text);
export const isBatchId = (text: string): boolean => BATCH_ID.test(text);
