/* Graphs that are hard on whoever runs them; each may be run in a batch. */
import {
  ELEMENT,
  floats,
  integerAttribute,
  integers,
  integersAttribute,
  modelBytes,
  sequenceOfMaps,
} from '../../src/onnx/writer.ts';
import { WORK_WIDTH, workLoop, workWeights } from '../../src/onnx/example-graphs.ts';

const x = { name: 'x', type: ELEMENT.FP32, shape: ['batch', 1] };
const amount = { name: 'amount', type: ELEMENT.INT64, shape: ['batch', 1] };
const y = { name: 'y', type: ELEMENT.FP32, shape: ['batch', 1] };
/** The largest `amount` of the batch, as a scalar. */
const most = {
  op: 'ReduceMax',
  inputs: ['amount'],
  outputs: ['most'],
  attributes: [integerAttribute('keepdims', 0)],
};
/** `y = x + 0 · waste`: the result does not depend on what was done for it. */
const finish = (waste: string) => [
  {
    op: 'ReduceMean',
    inputs: [waste],
    outputs: ['mean'],
    attributes: [integerAttribute('keepdims', 0)],
  },
  { op: 'Mul', inputs: ['mean', 'zero'], outputs: ['nothing'] },
  { op: 'Add', inputs: ['x', 'nothing'], outputs: ['y'] },
];
const zero = floats('zero', [], Float32Array.of(0));

/** `y = x`, after as many iterations of work as the largest `amount` in its batch says. */
export function patientGraph(): Uint8Array {
  const state = { type: ELEMENT.FP32, shape: [1, WORK_WIDTH] };
  return modelBytes({
    name: 'patient',
    nodes: [most, workLoop(state, { times: 'most', from: 'start', to: 'work' }), ...finish('work')],
    inputs: [x, amount],
    outputs: [y],
    weights: [
      ...workWeights(),
      floats('start', [1, WORK_WIDTH], new Float32Array(WORK_WIDTH)),
      zero,
    ],
  });
}

/** `y = x`, after filling as many megabytes as the largest `amount` in its batch says. */
export const hoardGraph = (): Uint8Array =>
  modelBytes({
    name: 'hoard',
    nodes: [
      most,
      { op: 'Mul', inputs: ['most', 'floats_per_mib'], outputs: ['length'] },
      { op: 'Reshape', inputs: ['length', 'one_axis'], outputs: ['size'] },
      { op: 'ConstantOfShape', inputs: ['size'], outputs: ['zeros'] },
      ...finish('zeros'),
    ],
    inputs: [x, amount],
    outputs: [y],
    weights: [integers('floats_per_mib', [], 262_144), integers('one_axis', [1], 1), zero],
  });

/** `y = x` for one datatype, FP32 [batch, n] and so on. */
export const identityGraph = (datatype: keyof typeof ELEMENT): Uint8Array =>
  modelBytes({
    name: `identity_${datatype.toLowerCase()}`,
    nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
    inputs: [{ name: 'x', type: ELEMENT[datatype], shape: ['batch', 'n'] }],
    outputs: [{ name: 'y', type: ELEMENT[datatype], shape: ['batch', 'n'] }],
    weights: [],
  });

/** `c = a` (FP32) and `d = b` (INT64). */
export const pairGraph = (): Uint8Array => {
  const a = { type: ELEMENT.FP32, shape: ['rows', 'n'] };
  const b = { type: ELEMENT.INT64, shape: ['lines', 'm'] };
  return modelBytes({
    name: 'identity_pair',
    nodes: [
      { op: 'Identity', inputs: ['a'], outputs: ['c'] },
      { op: 'Identity', inputs: ['b'], outputs: ['d'] },
    ],
    inputs: [
      { name: 'a', ...a },
      { name: 'b', ...b },
    ],
    outputs: [
      { name: 'c', ...a },
      { name: 'd', ...b },
    ],
    weights: [],
  });
};

/** A graph that asks for an opset nobody has yet. */
export const futureGraph = (): Uint8Array =>
  modelBytes(
    {
      name: 'future',
      nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
      inputs: [x],
      outputs: [y],
      weights: [],
    },
    9999,
  );

const COMPLEX64 = 14; // TensorProto.DataType

/** A graph of complex numbers, which nothing here can take. */
export const complexGraph = (): Uint8Array =>
  modelBytes(
    {
      name: 'complex',
      nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
      inputs: [{ name: 'x', type: COMPLEX64, shape: ['n'] }],
      outputs: [{ name: 'y', type: COMPLEX64, shape: ['n'] }],
      weights: [],
    },
    17,
  );

/** What sklearn's classifiers become by default: their probabilities once more, as a list of maps. */
export const zipMapGraph = (isOnlyMaps = false): Uint8Array =>
  modelBytes(
    {
      name: 'zip_map',
      nodes: [
        { op: 'Identity', inputs: ['X'], outputs: ['probabilities'] },
        {
          op: 'ZipMap',
          domain: 'ai.onnx.ml',
          inputs: ['probabilities'],
          outputs: ['output_probability'],
          attributes: [integersAttribute('classlabels_int64s', 0, 1)],
        },
      ],
      inputs: [{ name: 'X', type: ELEMENT.FP32, shape: ['n', 2] }],
      outputs: [
        ...(isOnlyMaps ? [] : [{ name: 'probabilities', type: ELEMENT.FP32, shape: ['n', 2] }]),
        {
          name: 'output_probability',
          type: sequenceOfMaps(ELEMENT.INT64, ELEMENT.FP32),
          shape: [],
        },
      ],
      weights: [],
    },
    17,
    { 'ai.onnx.ml': 1 },
  );
