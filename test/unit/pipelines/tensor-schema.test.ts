import { z } from 'zod';
import { messageOf } from '../../../src/contract/failure.ts';
import type { Manifest } from '../../../src/contract/model.ts';
import { describeTensor as describeAny } from '../../../src/pipelines/tensor/schema.ts';

const describeTensor = (of: Manifest, graphs: Parameters<typeof describeAny>[1]) =>
  describeAny(of, graphs, {});
const manifest: Manifest = {
  pipeline: 'tensor',
  description: '',
  files: { model: { path: 'model.onnx' } },
  options: {},
  batching: { max_size: 1, max_delay_ms: 0 },
  resources: { threads: 1, replicas: 1, memory_mb: 512, max_runs: null, preload: false },
  timeouts: { run_s: 1 },
  license: null,
  source: null,
};
const schema = describeTensor(manifest, {
  model: {
    inputs: [
      { name: 'x', datatype: 'FP32', shape: ['batch', 2] },
      { name: 'n', datatype: 'INT64', shape: ['batch'] },
    ],
    outputs: [{ name: 'y', datatype: 'FP32', shape: ['batch', null] }],
  },
});
const x = { name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] };
const n = { name: 'n', datatype: 'INT64', shape: [1], data: [7] };
function messages(inputs: unknown): readonly string[] {
  try {
    const input = schema.normalize?.({ inputs });
    return schema.input.safeParse(input).error?.issues.map((issue) => issue.message) ?? [];
  } catch (error) {
    return [messageOf(error)];
  }
}

test('tensors that fit the graph are accepted, nested data and large integers too', () => {
  expect(messages([x, n])).toEqual([]);
  expect(messages([n, { ...x, data: [[1, 2]] }])).toEqual([]);
  expect(messages([x, { ...n, data: ['9223372036854775807'] }])).toEqual([]);
});

test.each([
  ['a missing tensor', [x], 'n INT64 [batch] is missing'],
  ['one given twice', [x, x], 'x is given twice'],
  ['too many', [x, n, n], 'this model takes 2 tensors: x, n'],
  ['an unknown one', [x, { ...n, name: 'z' }], 'no input is called "z": this model takes x, n'],
  ['a wrong datatype', [{ ...x, datatype: 'FP64' }, n], 'x must be FP32'],
  [
    'a wrong size',
    [{ ...x, shape: [1, 3], data: [1, 2, 3] }, n],
    'x must be [batch, 2], but is [1, 3]',
  ],
  [
    'a named size that differs',
    [x, { ...n, shape: [2], data: [1, 2] }],
    'n must be [batch], but is [2]',
  ],
  ['too few elements', [{ ...x, data: [1] }, n], 'x has 1 elements, but the shape holds 2'],
  ['a number too large for FP32', [{ ...x, data: [1, 1e39] }, n], 'x is outside the range of FP32'],
  [
    'data nested too deep',
    [{ ...x, data: [[[[1, 2]]]] }, n],
    'x has 1 elements, but the shape holds 2',
  ],
  ['no number', [{ ...x, data: [1, 'NaN'] }, n], 'x must be a finite number'],
  [
    'a fraction',
    [x, { ...n, data: [1.5] }],
    'n must be a whole number (beyond 2^53 as a string of digits)',
  ],
  ['out of range', [x, { ...n, data: ['9223372036854775808'] }], 'n is outside the range of INT64'],
])('%s is refused', (_name, inputs, message) => {
  expect(messages(inputs)).toContain(message);
});

const bytes = (values: Float32Array) => new Uint8Array(values.buffer);

test('tensors may come as bytes, which are checked like numbers', () => {
  expect(messages([{ ...x, data: bytes(Float32Array.of(1, 2)) }, n])).toEqual([]);
  expect(messages([{ ...x, data: bytes(Float32Array.of(1)) }, n])).toEqual([
    'x has 4 bytes, but 2 elements of FP32 have 8',
  ]);
});

test.each([
  ['an element that ends too late', [5, 0, 0, 0, 65], 'ends after the data does'],
  ['half a length', [1, 0], 'ends after the data does'],
  ['what is not UTF-8', [1, 0, 0, 0, 0xff], 'element 0 is not UTF-8'],
  ['a NUL', [1, 0, 0, 0, 0], 'must not hold a NUL'],
  ['too many elements', [0, 0, 0, 0, 0, 0, 0, 0], 'has more than 1 elements'],
])('BYTES with %s are refused', (_name, data, message) => {
  const signature = { name: 's', datatype: 'BYTES', shape: ['n'] } as const;
  const graph = { inputs: [signature], outputs: [signature] };
  const { input } = describeTensor(manifest, { model: graph });
  const tensor = { name: 's', datatype: 'BYTES', shape: [1], data: Uint8Array.from(data) };
  const parsed = input.safeParse({ inputs: [tensor] });

  expect(parsed.error?.issues[0]?.message).toContain(message);
});

test('a graph batches when every tensor begins with an axis of any size', () => {
  const tensor = { name: 'x', datatype: 'FP32', shape: ['batch', 2] } as const;
  const fixed = { ...tensor, shape: [1, 2] } as const;
  const keyOf = (inputs: (typeof tensor | typeof fixed)[]) =>
    describeTensor(manifest, { model: { inputs, outputs: [tensor] } }).batchKey;

  expect(keyOf([fixed])).toBeNull();
  const key = keyOf([tensor]);
  expect(key?.({ inputs: [x] })).toBe(key?.({ inputs: [{ ...x, data: [3, 4] }] }));
  expect(key?.({ inputs: [x] })).not.toBe(key?.({ inputs: [{ ...x, shape: [2, 2] }] }));
});

test('it has a JSON schema that names the tensors', () => {
  expect(JSON.stringify(z.toJSONSchema(schema.input))).toContain('x FP32 [batch, 2]');
});

test('a manifest without its file is refused', () => {
  expect(() => describeTensor({ ...manifest, files: {} }, {})).toThrow(
    'the tensor pipeline needs model',
  );
});
