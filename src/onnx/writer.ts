/*
 * Writes small ONNX graphs (onnx.proto3, IR version 8, opset 17). The same graph is the same bytes
 * each time.
 */
import protobuf from 'protobufjs/light.js';

type Message = (writer: protobuf.Writer) => void;

/** TensorProto.DataType. */
export const ELEMENT = {
  FP32: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  BYTES: 8,
  BOOL: 9,
  FP16: 10,
  FP64: 11,
  UINT32: 12,
  UINT64: 13,
} as const;
const ATTRIBUTE_INT = 2;
const ATTRIBUTE_GRAPH = 5;
const ATTRIBUTE_INTS = 7;
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
  /** The datatype of the tensor's elements; or another type, which then has no shape. */
  readonly type: number | Message;
  readonly shape: readonly (number | string)[];
}

export interface Node {
  readonly op: string;
  /** Absent: one of ONNX's own operators. */
  readonly domain?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: readonly Message[];
}

export interface Weights {
  readonly name: string;
  readonly type: number;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

export interface Graph {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly weights: readonly Weights[];
}

const valueInfo = (id: number, { name, type, shape }: Value): Message => {
  if (typeof type !== 'number') return nested(id, text(1, name), nested(2, type));
  const sizes = shape.map((size) =>
    nested(1, typeof size === 'string' ? text(2, size) : int(1, size)),
  );
  return nested(id, text(1, name), nested(2, nested(1, int(1, type), nested(2, ...sizes))));
};

const node = ({ op, domain, inputs, outputs, attributes = [] }: Node): Message =>
  nested(
    1,
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(3, `${op}_${outputs.join('_')}`),
    text(4, op),
    ...(domain === undefined ? [] : [text(7, domain)]),
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

/** The bytes of a model file with this graph; `domains`: the versions of operators that are not ONNX's own. */
export function modelBytes(
  graph: Graph,
  opset = 17,
  domains: Readonly<Record<string, number>> = {},
): Uint8Array {
  const writer = protobuf.Writer.create();
  const parts = [int(1, 8), text(2, 'buzzer'), graphMessage(7, graph)];
  const imports = Object.entries({ '': opset, ...domains }).map(([domain, version]) =>
    nested(8, text(1, domain), int(2, version)),
  );
  for (const part of [...parts, ...imports]) part(writer);
  return writer.finish();
}

/** An integer attribute of a node. */
export const integerAttribute =
  (name: string, value: number): Message =>
  (writer) => {
    text(1, name)(writer);
    int(3, value)(writer);
    int(20, ATTRIBUTE_INT)(writer);
  };

/** A list of integers as an attribute of a node. */
export const integersAttribute =
  (name: string, ...values: readonly number[]): Message =>
  (writer) => {
    text(1, name)(writer);
    for (const value of values) int(8, value)(writer);
    int(20, ATTRIBUTE_INTS)(writer);
  };

/** The type of a list of maps from keys to values. */
export const sequenceOfMaps = (key: number, value: number): Message =>
  nested(4, nested(1, nested(5, int(1, key), nested(2, nested(1, int(1, value))))));

/** A graph as an attribute of a node: the body of a loop. */
export const graphAttribute =
  (name: string, graph: Graph): Message =>
  (writer) => {
    text(1, name)(writer);
    graphMessage(6, graph)(writer);
    int(20, ATTRIBUTE_GRAPH)(writer);
  };

/** Weights of FP32. */
export const floats = (name: string, shape: readonly number[], values: Float32Array): Weights => ({
  name,
  type: ELEMENT.FP32,
  shape,
  data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
});

/** Weights of INT64. */
export const integers = (name: string, shape: readonly number[], ...values: number[]): Weights => ({
  name,
  type: ELEMENT.INT64,
  shape,
  data: new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
});
