/*
 * Tensors as bytes: how they lie in the payload store and travel to and from a model process when
 * they are not JSON. A header length (UINT32, little-endian), a JSON header, and then the elements
 * of each tensor in the binary form of the Open Inference Protocol: row-major, little-endian, BYTES
 * elements each behind its length (UINT32). The header and each tensor are padded to 8 bytes, so
 * that a typed array can lie on them without a copy.
 */
import type { Datatype, JsonTensor } from './tensor.ts';

export const TENSORS_MEDIA_TYPE = 'application/vnd.buzzer.tensors';

/** A tensor whose elements are bytes. */
export interface PackedTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** Whether a tensor's elements are bytes rather than JSON. */
export const isPacked = (tensor: PackedTensor | JsonTensor): tensor is PackedTensor =>
  tensor.data instanceof Uint8Array;

interface HeaderEntry {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly bytes: number;
}

const ALIGNMENT = 8;
const LENGTH_BYTES = 4;
const SPACE = 0x20;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

const padded = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** Tensors → bytes, in pieces that follow each other: nothing of a large tensor is copied. */
export function packParts(tensors: readonly PackedTensor[]): readonly Uint8Array[] {
  const entries: HeaderEntry[] = tensors.map(({ name, datatype, shape, data }) => ({
    name,
    datatype,
    shape,
    bytes: data.byteLength,
  }));
  const header = encoder.encode(JSON.stringify(entries));
  const head = new Uint8Array(padded(LENGTH_BYTES + header.length)).fill(SPACE);
  new DataView(head.buffer).setUint32(0, head.length - LENGTH_BYTES, true);
  head.set(header, LENGTH_BYTES);
  const parts: Uint8Array[] = [head];
  for (const { data } of tensors) {
    parts.push(data);
    const gap = padded(data.byteLength) - data.byteLength;
    if (gap > 0) parts.push(new Uint8Array(gap));
  }
  return parts;
}

/** Tensors → bytes. */
export function packTensors(tensors: readonly PackedTensor[]): Uint8Array {
  const parts = packParts(tensors);
  const packed = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    packed.set(part, offset);
    offset += part.length;
  }
  return packed;
}

/** Bytes → tensors, whose data are views of `packed`. Only for what `packTensors` has made. */
export function unpackTensors(packed: Uint8Array): readonly PackedTensor[] {
  const headerBytes = headerLength(packed);
  let offset = LENGTH_BYTES + headerBytes;
  return readHeader(packed).map(({ bytes, ...tensor }) => {
    const data = packed.subarray(offset, offset + bytes);
    offset += padded(bytes);
    return { ...tensor, data };
  });
}

/** The header of packed tensors, without looking at the elements. */
export const readHeader = (packed: Uint8Array): readonly HeaderEntry[] => {
  const header = packed.subarray(LENGTH_BYTES, LENGTH_BYTES + headerLength(packed));
  return JSON.parse(decoder.decode(header)) as HeaderEntry[];
};

const headerLength = (packed: Uint8Array): number =>
  new DataView(packed.buffer, packed.byteOffset, packed.byteLength).getUint32(0, true);
