import { z } from 'zod';
import type { Manifest } from '../../../src/contract/model.ts';
import { describeTensor } from '../../../src/pipelines/tensor/schema.ts';

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
const messages = (inputs: unknown) =>
  schema.input.safeParse({ inputs }).error?.issues.map((issue) => issue.message) ?? [];

test('tensors that fit the graph are accepted, nested data and large integers too', () => {
  expect(messages([x, n])).toEqual([]);
  expect(messages([n, { ...x, data: [[1, 2]] }])).toEqual([]);
  expect(messages([x, { ...n, data: ['9223372036854775807'] }])).toEqual([]);
});

test.each([
  ['a missing tensor', [x], 'n INT64 [batch] is missing'],
  ['one given twice', [x, x], 'x is given twice'],
  ['too many', [x, n, n], 'this model takes 2 tensors'],
  ['an unknown one', [x, { ...n, name: 'z' }], 'no such input: this model takes x, n'],
  ['a wrong datatype', [{ ...x, datatype: 'FP64' }, n], 'must be FP32'],
  ['a wrong size', [{ ...x, shape: [1, 3], data: [1, 2, 3] }, n], 'must be [batch, 2]'],
  ['a named size that differs', [x, { ...n, shape: [2], data: [1, 2] }], 'must be [batch]'],
  ['too few elements', [{ ...x, data: [1] }, n], 'has 1 elements, but the shape holds 2'],
  ['a number too large for FP32', [{ ...x, data: [1, 1e39] }, n], 'is outside the range of FP32'],
  [
    'data nested too deep',
    [{ ...x, data: [[[[1, 2]]]] }, n],
    'has 1 elements, but the shape holds 2',
  ],
  ['no number', [{ ...x, data: [1, 'NaN'] }, n], 'must be a finite number'],
  [
    'a fraction',
    [x, { ...n, data: [1.5] }],
    'must be a whole number (beyond 2^53 as a string of digits)',
  ],
  ['out of range', [x, { ...n, data: ['9223372036854775808'] }], 'is outside the range of INT64'],
])('%s is refused', (_name, inputs, message) => {
  expect(messages(inputs)).toContain(message);
});

test('it has a JSON schema that names the tensors', () => {
  expect(JSON.stringify(z.toJSONSchema(schema.input))).toContain('x FP32 [batch, 2]');
});

test('a manifest without its file is refused', () => {
  expect(() => describeTensor({ ...manifest, files: {} }, {})).toThrow(
    'the tensor pipeline needs model',
  );
});
