import {
  type PackedTensor,
  packTensors,
  readHeader,
  unpackTensors,
} from '../../../src/contract/packed-tensors.ts';
import type { JsonTensor } from '../../../src/contract/tensor.ts';
import { toJson, toPacked } from '../../../src/pipelines/tensor/codec.ts';

const bytesOf = (tensor: PackedTensor) => Array.from(tensor.data);

test('tensors come back as they were packed, whatever their size', () => {
  const tensors: PackedTensor[] = [
    { name: 'a', datatype: 'UINT8', shape: [3], data: Uint8Array.of(1, 2, 3) },
    { name: 'nothing', datatype: 'FP32', shape: [0, 4], data: new Uint8Array() },
    { name: 'é', datatype: 'INT16', shape: [1], data: Uint8Array.of(1, 0) },
  ];
  const packed = packTensors(tensors);

  expect(unpackTensors(packed).map(bytesOf)).toEqual(tensors.map(bytesOf));
  expect(readHeader(packed).map(({ name, shape }) => [name, shape])).toEqual([
    ['a', [3]],
    ['nothing', [0, 4]],
    ['é', [1]],
  ]);
});

test('each tensor lies where a typed array can lie on it', () => {
  const data = new Uint8Array(5);
  const packed = packTensors([
    { name: 'a', datatype: 'UINT8', shape: [5], data },
    { name: 'b', datatype: 'UINT8', shape: [5], data },
  ]);

  for (const tensor of unpackTensors(packed)) expect(tensor.data.byteOffset % 8).toBe(0);
});

test.each<JsonTensor>([
  { name: 'x', datatype: 'BOOL', shape: [3], data: [true, false, true] },
  { name: 'x', datatype: 'INT8', shape: [2], data: [-128, 127] },
  { name: 'x', datatype: 'UINT64', shape: [2], data: [7, '18446744073709551615'] },
  { name: 'x', datatype: 'INT64', shape: [2], data: [-7, '-9223372036854775808'] },
  { name: 'x', datatype: 'FP16', shape: [5], data: [0.5, -2.25, 65_504, 2 ** -24, 0] },
  { name: 'x', datatype: 'FP32', shape: [2], data: [0.5, -1.5] },
  { name: 'x', datatype: 'FP64', shape: [2], data: [0.1, -1e300] },
  { name: 'x', datatype: 'BYTES', shape: [3], data: ['', 'plain', 'ünïcödé ✓'] },
])('$datatype in JSON comes back from its bytes', (tensor) => {
  expect(toJson(toPacked(tensor))).toEqual(tensor);
});

test('FP16 is rounded to the nearest even, and overflows to infinity', () => {
  const bits = (value: number) =>
    bytesOf(toPacked({ name: 'x', datatype: 'FP16', shape: [1], data: [value] }));

  expect(bits(1 + 2 ** -11)).toEqual([0x00, 0x3c]); // half way: to the even one
  expect(bits(1 + 3 * 2 ** -11)).toEqual([0x02, 0x3c]);
  expect(bits(65_520)).toEqual([0x00, 0x7c]);
  expect(bits(-0)).toEqual([0x00, 0x80]);
});
