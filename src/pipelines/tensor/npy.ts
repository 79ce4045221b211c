/*
 * Arrays as numpy saves them: NEP 1, format versions 1.0 to 3.0
 * (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
 */
import type { PackedTensor } from '../../contract/packed-tensors.ts';
import { type Datatype, elementCount, MAX_RANK } from '../../contract/tensor.ts';
import { elementBytes } from './codec.ts';

export const NPY_MEDIA_TYPE = 'application/x-npy';

const MAGIC = Buffer.from('\x93NUMPY', 'latin1');
const MAX_HEADER_BYTES = 64 * 1024;

/** Little-endian, or of one byte. */
const DATATYPES: Readonly<Record<string, Datatype>> = {
  '|b1': 'BOOL',
  '|u1': 'UINT8',
  '<u2': 'UINT16',
  '<u4': 'UINT32',
  '<u8': 'UINT64',
  '|i1': 'INT8',
  '<i2': 'INT16',
  '<i4': 'INT32',
  '<i8': 'INT64',
  '<f2': 'FP16',
  '<f4': 'FP32',
  '<f8': 'FP64',
};

/** The array in the bytes of an .npy file, as a view. Throws a message for the client when the file is wrong. */
export function readNpy(bytes: Uint8Array): Omit<PackedTensor, 'name'> {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!file.subarray(0, MAGIC.length).equals(MAGIC) || file.length < 12) {
    throw new Error('these bytes are no .npy file, such as numpy.save writes');
  }
  const isLong = (file[MAGIC.length] ?? 0) >= 2;
  const headerStart = isLong ? 12 : 10;
  const headerBytes = isLong ? file.readUInt32LE(8) : file.readUInt16LE(8);
  const dataStart = headerStart + headerBytes;
  if (headerBytes > MAX_HEADER_BYTES || dataStart > file.length) {
    throw new Error('the .npy file ends before its header does');
  }
  const { datatype, shape } = readHeader(file.toString('latin1', headerStart, dataStart));
  const data = file.subarray(dataStart);
  const expected = elementCount(shape) * (elementBytes(datatype) ?? 0);
  if (data.length === expected) return { datatype, shape, data };
  throw new Error(
    `the .npy file has ${data.length} bytes of data where its shape needs ${expected}`,
  );
}

function readHeader(header: string): { datatype: Datatype; shape: readonly number[] } {
  const [, descr = ''] = /'descr': *'([^']{1,20})'/.exec(header) ?? [];
  const datatype = Object.hasOwn(DATATYPES, descr) ? DATATYPES[descr] : undefined;
  if (datatype === undefined) {
    const known = Object.keys(DATATYPES).join(', ');
    throw new Error(
      `the .npy file holds elements of ${descr || 'no simple type'}; taken are ${known}`,
    );
  }
  if (/'fortran_order': *True/.test(header)) {
    throw new Error('the .npy file is in Fortran order: save numpy.ascontiguousarray(array)');
  }
  const [, sizes] = /'shape': *\(((?:\d{1,15}(?:, *|(?=\)))){0,100})\)/.exec(header) ?? [];
  if (sizes === undefined) throw new Error('the header of the .npy file names no shape');
  const shape = sizes
    .split(',')
    .map((size) => size.trim())
    .filter((size) => size !== '')
    .map(Number);
  if (shape.length <= MAX_RANK) return { datatype, shape };
  throw new Error(`the .npy file has more than ${MAX_RANK} dimensions`);
}
