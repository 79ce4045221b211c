/* The graphs of examples/models: for trying out, for checking a device, and for tests. */
import {
  ELEMENT,
  floats,
  type Graph,
  graphAttribute,
  integerAttribute,
  modelBytes,
  type Node,
  type Weights,
} from './writer.ts';

/** `y = 2x + 1`, FP32 [batch, n]: exact, and as fast as a model can be. */
export const affineGraph = (): Uint8Array =>
  modelBytes({
    name: 'affine',
    nodes: [
      { op: 'Mul', inputs: ['x', 'two'], outputs: ['doubled'] },
      { op: 'Add', inputs: ['doubled', 'one'], outputs: ['y'] },
    ],
    inputs: [{ name: 'x', type: ELEMENT.FP32, shape: ['batch', 'n'] }],
    outputs: [{ name: 'y', type: ELEMENT.FP32, shape: ['batch', 'n'] }],
    weights: [floats('two', [], Float32Array.of(2)), floats('one', [], Float32Array.of(1))],
  });

/** How wide the rows are that `workLoop` multiplies. */
export const WORK_WIDTH = 512;

/** Multiplies `from` by a matrix as often as `times` says: about 20 µs a time for one row. */
export function workLoop(
  state: { readonly type: number; readonly shape: readonly (number | string)[] },
  { times, from, to }: { readonly times: string; readonly from: string; readonly to: string },
): Node {
  const body: Graph = {
    name: 'body',
    nodes: [
      { op: 'Identity', inputs: ['go_on_in'], outputs: ['go_on_out'] },
      { op: 'MatMul', inputs: ['state_in', 'matrix'], outputs: ['product'] },
      { op: 'Tanh', inputs: ['product'], outputs: ['state_out'] },
    ],
    inputs: [
      { name: 'iteration', type: ELEMENT.INT64, shape: [] },
      { name: 'go_on_in', type: ELEMENT.BOOL, shape: [] },
      { name: 'state_in', ...state },
    ],
    outputs: [
      { name: 'go_on_out', type: ELEMENT.BOOL, shape: [] },
      { name: 'state_out', ...state },
    ],
    weights: [],
  };
  return {
    op: 'Loop',
    inputs: [times, 'go_on', from],
    outputs: [to],
    attributes: [graphAttribute('body', body)],
  };
}

/** What a graph with a `workLoop` needs. */
export const workWeights = (): readonly Weights[] => [
  floats(
    'matrix',
    [WORK_WIDTH, WORK_WIDTH],
    randomWeights(WORK_WIDTH * WORK_WIDTH, Math.sqrt(3 / WORK_WIDTH), 7),
  ),
  { name: 'go_on', type: ELEMENT.BOOL, shape: [], data: Uint8Array.of(1) },
];

/**
 * `x` FP32 [batch, 512] multiplied by a matrix `iterations` (INT64 scalar) times: its duration is
 * an input, about 20 µs an iteration for one row on a CPU.
 */
export function burnGraph(): Uint8Array {
  const state = { type: ELEMENT.FP32, shape: ['batch', WORK_WIDTH] };
  return modelBytes({
    name: 'burn',
    nodes: [workLoop(state, { times: 'iterations', from: 'x', to: 'y' })],
    inputs: [
      { name: 'x', ...state },
      { name: 'iterations', type: ELEMENT.INT64, shape: [] },
    ],
    outputs: [{ name: 'y', ...state }],
    weights: workWeights(),
  });
}

/** A perceptron of three layers, FP32 [batch, 784] → probabilities FP32 [batch, 10]. */
export function mlpGraph(): Uint8Array {
  const sizes = [784, 1024, 1024, 10] as const;
  const nodes: Node[] = [];
  const weights: Weights[] = [];
  let current = 'x';
  for (const [layer, width] of sizes.slice(0, -1).entries()) {
    const next = sizes[layer + 1] ?? 0;
    const scale = Math.sqrt(6 / width);
    weights.push(
      floats(`w${layer}`, [width, next], randomWeights(width * next, scale, layer + 1)),
      floats(`b${layer}`, [next], new Float32Array(next)),
    );
    const isLast = layer === sizes.length - 2;
    const axis = integerAttribute('axis', -1);
    const sum = `sum${layer}`;
    nodes.push({ op: 'Gemm', inputs: [current, `w${layer}`, `b${layer}`], outputs: [sum] });
    current = isLast ? 'y' : `relu${layer}`;
    nodes.push(
      isLast
        ? { op: 'Softmax', inputs: [sum], outputs: ['y'], attributes: [axis] }
        : { op: 'Relu', inputs: [sum], outputs: [current] },
    );
  }
  return modelBytes({
    name: 'mlp',
    nodes,
    weights,
    inputs: [{ name: 'x', type: ELEMENT.FP32, shape: ['batch', sizes[0]] }],
    outputs: [{ name: 'y', type: ELEMENT.FP32, shape: ['batch', sizes[3]] }],
  });
}

/** The same numbers in [-scale, scale) for the same seed: mulberry32. */
export function randomWeights(count: number, scale: number, seed: number): Float32Array {
  const values = new Float32Array(count);
  let state = seed;
  for (let index = 0; index < count; index++) {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    values[index] = ((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * 2 - 1) * scale;
  }
  return values;
}
