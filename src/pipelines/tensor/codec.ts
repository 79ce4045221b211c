/* The elements of a tensor: as JSON, as bytes, and as the arrays that ONNX Runtime takes. */
import type { Json } from '../../contract/payload.ts';
import type { PackedTensor } from '../../contract/packed-tensors.ts';
import type { Datatype, JsonTensor } from '../../contract/tensor.ts';
import { flatten } from './elements.ts';
import { fromHalf, toHalf } from '../shared/half.ts';

/** The arrays that hold elements of a fixed size; half floats are their bits. */
const ARRAYS = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const;

type FixedDatatype = keyof typeof ARRAYS;
export type ElementArray = InstanceType<(typeof ARRAYS)[FixedDatatype]>;

const LENGTH_BYTES = 4;

/** The size of one element; null for BYTES, whose elements have different sizes. */
export const elementBytes = (datatype: Datatype): number | null =>
  datatype === 'BYTES' ? null : ARRAYS[datatype].BYTES_PER_ELEMENT;

/** A tensor in JSON, which its schema has accepted → bytes. */
export function toPacked({ name, datatype, shape, data }: JsonTensor): PackedTensor {
  const elements = flatten(data, shape.length);
  const bytes =
    datatype === 'BYTES' ? joinStrings(elements as readonly string[]) : toBytes(datatype, elements);
  return { name, datatype, shape, data: bytes };
}

/** Integers beyond 2^53 become strings of digits; a float that is not finite becomes null. */
export function toJson({ name, datatype, shape, data }: PackedTensor): JsonTensor {
  return { name, datatype, shape, data: jsonElements(datatype, data) };
}

/** The elements of a tensor of a fixed-size datatype; a view where the bytes lie well. */
export function elementsOf(datatype: FixedDatatype, data: Uint8Array): ElementArray {
  const { BYTES_PER_ELEMENT: size } = ARRAYS[datatype];
  const aligned = data.byteOffset % size === 0 ? data : new Uint8Array(data);
  return new ARRAYS[datatype](
    aligned.buffer as ArrayBuffer,
    aligned.byteOffset,
    data.length / size,
  );
}

/** The bytes of an array of elements; a view. */
export const bytesOf = (elements: ElementArray): Uint8Array =>
  new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);

/** Strings → BYTES: each behind its length. */
export function joinStrings(strings: readonly string[]): Uint8Array {
  const encoded = strings.map((text) => Buffer.from(text));
  const bytes = Buffer.alloc(encoded.reduce((sum, { length }) => sum + LENGTH_BYTES + length, 0));
  let offset = 0;
  for (const text of encoded) {
    offset = bytes.writeUInt32LE(text.length, offset);
    offset += text.copy(bytes, offset);
  }
  return bytes;
}

/** BYTES → strings. Throws a message for the client when they are wrong, or more than `max`. */
export function splitStrings(data: Uint8Array, max = Number.POSITIVE_INFINITY): string[] {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const strings: string[] = [];
  for (let offset = 0; offset < data.length;) {
    const end =
      offset + LENGTH_BYTES > data.length
        ? Number.POSITIVE_INFINITY
        : offset + LENGTH_BYTES + view.getUint32(offset, true);
    if (strings.length === max) throw new Error(`has more than ${max} elements`);
    if (end > data.length) throw new Error('an element ends after the data does');
    try {
      strings.push(decoder.decode(data.subarray(offset + LENGTH_BYTES, end)));
    } catch (error) {
      throw new Error(`element ${strings.length} is not UTF-8`, { cause: error });
    }
    offset = end;
  }
  return strings;
}

function toBytes(datatype: FixedDatatype, data: readonly Json[]): Uint8Array {
  const numbers = data as readonly number[];
  const digits = data as readonly (number | string)[];
  switch (datatype) {
    case 'BOOL':
      return Uint8Array.from(data, Number);
    case 'UINT64':
      return bytesOf(BigUint64Array.from(digits, BigInt));
    case 'INT64':
      return bytesOf(BigInt64Array.from(digits, BigInt));
    case 'FP16':
      return bytesOf(Uint16Array.from(numbers, toHalf));
    default:
      return bytesOf(ARRAYS[datatype].from(numbers));
  }
}

function jsonElements(datatype: Datatype, data: Uint8Array): readonly Json[] {
  if (datatype === 'BYTES') return splitStrings(data);
  const elements = elementsOf(datatype, data);
  switch (datatype) {
    case 'BOOL':
      return Array.from(elements as Uint8Array, Boolean);
    case 'INT64':
    case 'UINT64':
      return Array.from(elements as BigInt64Array, (value) =>
        Number.isSafeInteger(Number(value)) ? Number(value) : String(value),
      );
    case 'FP16':
      return Array.from(elements as Uint16Array, fromHalf);
    default:
      return Array.from(elements as Float32Array);
  }
}
