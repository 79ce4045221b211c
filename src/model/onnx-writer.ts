/*
 * Writes small ONNX graphs (onnx.proto3, IR version 8, opset 17) for trying out and for checking
 * a device. Every graph is the same bytes each time it is written.
 */
import protobuf from 'protobufjs/light.js';

type Message = (writer: protobuf.Writer) => void;

const FLOAT = 1;
const INT64 = 7;
const BOOL = 9;
const ATTRIBUTE_INT = 2;
const ATTRIBUTE_GRAPH = 5;
const LENGTH_DELIMITED = 2;

const field = (id: number, wireType: number): number => (id << 3) | wireType;

const int =
  (id: number, value: number): Message =>
  (writer) =>
    void writer.uint32(field(id, 0)).int64(value);
const text =
  (id: number, value: string): Message =>
  (writer) =>
    void writer.uint32(field(id, LENGTH_DELIMITED)).string(value);
const raw =
  (id: number, value: Uint8Array): Message =>
  (writer) =>
    void writer.uint32(field(id, LENGTH_DELIMITED)).bytes(value);
const nested =
  (id: number, ...parts: readonly Message[]): Message =>
  (writer) => {
    writer.uint32(field(id, LENGTH_DELIMITED)).fork();
    for (const part of parts) part(writer);
    writer.ldelim();
  };

interface Value {
  readonly name: string;
  readonly type: number;
  readonly shape: readonly (number | string)[];
}

interface Node {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: readonly Message[];
}

interface Weights {
  readonly name: string;
  readonly type: number;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

interface Graph {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly weights: readonly Weights[];
}

const valueInfo = (id: number, { name, type, shape }: Value): Message => {
  const sizes = shape.map((size) =>
    nested(1, typeof size === 'string' ? text(2, size) : int(1, size)),
  );
  return nested(id, text(1, name), nested(2, nested(1, int(1, type), nested(2, ...sizes))));
};

const node = ({ op, inputs, outputs, attributes = [] }: Node): Message =>
  nested(
    1,
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(3, `${op}_${outputs.join('_')}`),
    text(4, op),
    ...attributes.map((attribute) => nested(5, attribute)),
  );

const graphMessage = (id: number, graph: Graph): Message =>
  nested(
    id,
    ...graph.nodes.map(node),
    text(2, graph.name),
    ...graph.weights.map(({ name, type, shape, data }) =>
      nested(5, ...shape.map((size) => int(1, size)), int(2, type), text(8, name), raw(9, data)),
    ),
    ...graph.inputs.map((value) => valueInfo(11, value)),
    ...graph.outputs.map((value) => valueInfo(12, value)),
  );

function modelBytes(graph: Graph): Uint8Array {
  const writer = protobuf.Writer.create();
  const parts = [int(1, 8), text(2, 'buzzer'), graphMessage(7, graph)];
  for (const part of [...parts, nested(8, text(1, ''), int(2, 17))]) part(writer);
  return writer.finish();
}

const floats = (name: string, shape: readonly number[], values: Float32Array): Weights => ({
  name,
  type: FLOAT,
  shape,
  data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
});

/** `y = 2x + 1`, FP32 [batch, n]: exact, and as fast as a model can be. */
export const affineGraph = (): Uint8Array =>
  modelBytes({
    name: 'affine',
    nodes: [
      { op: 'Mul', inputs: ['x', 'two'], outputs: ['doubled'] },
      { op: 'Add', inputs: ['doubled', 'one'], outputs: ['y'] },
    ],
    inputs: [{ name: 'x', type: FLOAT, shape: ['batch', 'n'] }],
    outputs: [{ name: 'y', type: FLOAT, shape: ['batch', 'n'] }],
    weights: [floats('two', [], Float32Array.of(2)), floats('one', [], Float32Array.of(1))],
  });

/**
 * `x` FP32 [batch, 512] multiplied by a matrix `iterations` (INT64 scalar) times: its duration is
 * an input, about 20 µs an iteration for one row on a CPU.
 */
export function burnGraph(): Uint8Array {
  const width = 512;
  const state = { type: FLOAT, shape: ['batch', width] };
  const body: Graph = {
    name: 'body',
    nodes: [
      { op: 'Identity', inputs: ['go_on_in'], outputs: ['go_on_out'] },
      { op: 'MatMul', inputs: ['state_in', 'matrix'], outputs: ['product'] },
      { op: 'Tanh', inputs: ['product'], outputs: ['state_out'] },
    ],
    inputs: [
      { name: 'iteration', type: INT64, shape: [] },
      { name: 'go_on_in', type: BOOL, shape: [] },
      { name: 'state_in', ...state },
    ],
    outputs: [
      { name: 'go_on_out', type: BOOL, shape: [] },
      { name: 'state_out', ...state },
    ],
    weights: [],
  };
  const loopBody: Message = (writer) => {
    text(1, 'body')(writer);
    graphMessage(6, body)(writer);
    int(20, ATTRIBUTE_GRAPH)(writer);
  };
  return modelBytes({
    name: 'burn',
    nodes: [
      { op: 'Loop', inputs: ['iterations', 'go_on', 'x'], outputs: ['y'], attributes: [loopBody] },
    ],
    inputs: [
      { name: 'x', ...state },
      { name: 'iterations', type: INT64, shape: [] },
    ],
    outputs: [{ name: 'y', ...state }],
    weights: [
      floats('matrix', [width, width], randomWeights(width * width, Math.sqrt(3 / width), 7)),
      { name: 'go_on', type: BOOL, shape: [], data: Uint8Array.of(1) },
    ],
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
    const axis: Message = (writer) => {
      text(1, 'axis')(writer);
      int(3, -1)(writer);
      int(20, ATTRIBUTE_INT)(writer);
    };
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
    inputs: [{ name: 'x', type: FLOAT, shape: ['batch', sizes[0]] }],
    outputs: [{ name: 'y', type: FLOAT, shape: ['batch', sizes[3]] }],
  });
}

/** The same numbers in [-scale, scale) for the same seed: mulberry32. */
function randomWeights(count: number, scale: number, seed: number): Float32Array {
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
