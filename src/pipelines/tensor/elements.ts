import type { Datatype } from '../../contract/tensor.ts';

const INTEGER_RANGES: Partial<Record<Datatype, readonly [min: bigint, max: bigint]>> = {
  UINT8: [0n, 255n],
  UINT16: [0n, 65_535n],
  UINT32: [0n, 4_294_967_295n],
  UINT64: [0n, 18_446_744_073_709_551_615n],
  INT8: [-128n, 127n],
  INT16: [-32_768n, 32_767n],
  INT32: [-2_147_483_648n, 2_147_483_647n],
  INT64: [-9_223_372_036_854_775_808n, 9_223_372_036_854_775_807n],
};

/** The elements of `data`, which may be nested as deep as its shape is long. */
export const flatten = <T>(data: readonly T[], rank: number): readonly T[] =>
  data.some((element) => Array.isArray(element)) ? (data.flat(rank) as T[]) : data;

/** Why `element` cannot be in a tensor of this datatype, for the client; null when it can. */
export function elementProblem(element: unknown, datatype: Datatype): string | null {
  const range = INTEGER_RANGES[datatype];
  if (range !== undefined) return integerProblem(element, datatype, range);
  switch (datatype) {
    case 'BOOL':
      return typeof element === 'boolean' ? null : 'must be true or false';
    case 'BYTES':
      return typeof element === 'string' ? textElementProblem(element) : 'must be a string';
    case 'FP16':
    case 'FP32':
    case 'FP64':
      return floatProblem(element, datatype);
    default:
      return `${datatype} cannot be sent`;
  }
}

/** ONNX Runtime's strings in Node end at a NUL. */
export const textElementProblem = (text: string): string | null =>
  text.includes('\0') ? 'must not hold a NUL character' : null;

/** The largest finite values of IEEE 754. */
const FLOAT_LIMITS = { FP16: 65_504, FP32: (2 - 2 ** -23) * 2 ** 127, FP64: Number.MAX_VALUE };

function floatProblem(element: unknown, datatype: keyof typeof FLOAT_LIMITS): string | null {
  if (typeof element !== 'number' || !Number.isFinite(element)) return 'must be a finite number';
  const isInRange = Math.abs(element) <= FLOAT_LIMITS[datatype];
  return isInRange ? null : `is outside the range of ${datatype}`;
}

function integerProblem(
  element: unknown,
  datatype: Datatype,
  [min, max]: readonly [bigint, bigint],
): string | null {
  // JSON numbers beyond 2^53 lose digits when parsed: larger ones come as strings of digits.
  if (typeof element === 'number' && Number.isSafeInteger(element)) {
    return element >= Number(min) && element <= Number(max)
      ? null
      : `is outside the range of ${datatype}`;
  }
  if (typeof element === 'string' && /^-?\d{1,20}$/.test(element)) {
    const value = BigInt(element);
    return value >= min && value <= max ? null : `is outside the range of ${datatype}`;
  }
  return 'must be a whole number (beyond 2^53 as a string of digits)';
}
