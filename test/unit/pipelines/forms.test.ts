import type { GraphSignature } from '../../../src/contract/tensor.ts';
import { InvalidFieldError } from '../../../src/pipelines/index.ts';
import { toProtocolForm } from '../../../src/pipelines/tensor/forms.ts';
import { readNpy } from '../../../src/pipelines/tensor/npy.ts';

const iris: GraphSignature = {
  inputs: [{ name: 'X', datatype: 'FP32', shape: [null, 4] }],
  outputs: [{ name: 'label', datatype: 'INT64', shape: [null] }],
};
const two: GraphSignature = {
  inputs: [
    { name: 'x', datatype: 'FP32', shape: ['n', 2] },
    { name: 'n', datatype: 'INT64', shape: [] },
  ],
  outputs: iris.outputs,
};
const pair: GraphSignature = {
  inputs: [
    { name: 'a', datatype: 'FP32', shape: ['n'] },
    { name: 'b', datatype: 'FP32', shape: ['n'] },
  ],
  outputs: iris.outputs,
};
const X = { name: 'X', datatype: 'FP32', shape: [2, 4], data: [1, 2, 3, 4, 5, 6, 7, 8] };
const rows = [
  [1, 2, 3, 4],
  [5, 6, 7, 8],
];

test('by name, alone, or in the protocol’s words: it is the same', () => {
  expect(toProtocolForm({ X: rows }, iris)).toEqual({ inputs: [X] });
  expect(toProtocolForm(rows, iris)).toEqual({ inputs: [X] });
  expect(toProtocolForm({ inputs: [X] }, iris)).toEqual({ inputs: [X] });
  expect(toProtocolForm({ inputs: [{ ...X, datatype: 'float32' }] }, iris)).toEqual({
    inputs: [X],
  });
  expect(toProtocolForm({ x: [[1, 2]], n: 3 }, two)).toEqual({
    inputs: [
      { name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] },
      { name: 'n', datatype: 'INT64', shape: [], data: [3] },
    ],
  });
});

test('a graph whose input is called inputs takes both forms', () => {
  const graph = { ...iris, inputs: [{ name: 'inputs', datatype: 'FP32', shape: [2] } as const] };
  const tensor = { name: 'inputs', datatype: 'FP32', shape: [2], data: [1, 2] };
  expect(toProtocolForm({ inputs: [1, 2] }, graph)).toEqual({ inputs: [tensor] });
  expect(toProtocolForm({ inputs: [tensor] }, graph)).toEqual({ inputs: [tensor] });
});

test.each<[string, unknown, GraphSignature, string, string]>([
  ['a ragged row', { X: [[1, 2, 3, 4], [5]] }, iris, 'X/1', 'must have 4 elements'],
  ['a value where a row belongs', { X: [[1, 2, 3, 4], 5] }, iris, 'X/1', 'no array'],
  ['a row too short', { X: [[1, 2]] }, iris, 'X', 'must be FP32 [?, 4], but is [1, 2]'],
  ['too few levels', { X: [1, 2, 3, 4] }, iris, 'X', 'but is [4]'],
  [
    'another size of a named dimension',
    { a: [1, 2], b: [3] },
    pair,
    'b',
    '[n] where n is 2, but is [1]',
  ],
  ['a missing input', { a: [1, 2] }, pair, 'b', 'b FP32 [n] is missing'],
  ['a word', { X: [[1, 2, 'x', 4]] }, iris, 'X/0/2', 'must be a finite number'],
  ['another name', { Y: rows }, iris, 'Y', 'this model takes X'],
  ['nothing', null, iris, '', 'must be an object with X'],
  ['a value alone for two inputs', rows, two, '', 'must be an object with x, n'],
  ['too many tensors', { inputs: [X, X] }, iris, 'inputs', 'takes 1 tensor: X'],
])('%s is refused with its place', (_what, input, graph, path, message) => {
  let found: unknown;
  try {
    toProtocolForm(input, graph);
  } catch (error) {
    found = error;
  }
  expect(found).toBeInstanceOf(InvalidFieldError);
  const { path: at, message: said } = found as InvalidFieldError;
  expect([at.join('/'), said]).toEqual([path, expect.stringContaining(message)]);
});

/** What numpy.save writes (NEP 1). */
function npy(descr: string, shape: string, data: Uint8Array, isFortran = false): Uint8Array {
  const header = `{'descr': '${descr}', 'fortran_order': ${isFortran ? 'True' : 'False'}, 'shape': (${shape}), }\n`;
  const length = Buffer.alloc(2);
  length.writeUInt16LE(header.length);
  return Buffer.concat([
    Buffer.from('\x93NUMPY\x01\x00', 'latin1'),
    length,
    Buffer.from(header),
    data,
  ]);
}

test('an array as numpy saves it is read', () => {
  const data = new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer);
  expect(readNpy(npy('<f4', '1, 4', data))).toMatchObject({ datatype: 'FP32', shape: [1, 4] });
  expect(readNpy(npy('<f4', '4,', data))).toMatchObject({ shape: [4] });
  expect(readNpy(npy('|i1', '', Uint8Array.of(7)))).toMatchObject({ datatype: 'INT8', shape: [] });
});

test.each<[string, Uint8Array, string]>([
  ['no npy', Buffer.from('hello, this is text'), 'no .npy file'],
  ['a short one', npy('<f4', '2,', new Uint8Array(4)), '4 bytes of data where its shape needs 8'],
  ['a long one', npy('<f4', '1,', new Uint8Array(9)), '9 bytes of data'],
  ['big-endian', npy('>f4', '1,', new Uint8Array(4)), 'elements of >f4'],
  ['objects', npy('|O', '1,', new Uint8Array(4)), 'elements of |O'],
  ['Fortran order', npy('<f4', '1,', new Uint8Array(4), true), 'ascontiguousarray'],
  ['a header that is cut', npy('<f4', '1,', new Uint8Array()).subarray(0, 30), 'header'],
  ['a header that is cut behind its type', cutHeader(), 'names no shape'],
  ['a shape of words', npy('<f4', '1 1, 1', new Uint8Array(4)), 'names no shape'],
  [
    'a shape of giants',
    npy('<f8', '999999999999999, 99999999', new Uint8Array(8)),
    'bytes of data',
  ],
])('%s is refused', (_what, bytes, message) => {
  expect(() => readNpy(bytes)).toThrow(message);
});

/** A header that says nothing behind the type of its elements. */
function cutHeader(): Uint8Array {
  const header = Buffer.from("{'descr': '<f4'}\n");
  const length = Buffer.from(Uint16Array.of(header.length).buffer);
  return Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), length, header]);
}
