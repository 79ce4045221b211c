/*
 * Reads the inputs and outputs of a graph out of an .onnx file, without ONNX Runtime. The fields
 * and their numbers are those of onnx.proto3 (onnx/onnx, IR version 10); everything that is not
 * declared here, the weights above all, is skipped while decoding.
 */
import { readFile } from 'node:fs/promises';
import protobuf from 'protobufjs/light.js';
import type { Datatype, GraphSignature, TensorSpec } from '../contract/tensor.ts';

const ONNX = protobuf.Root.fromJSON({
  nested: {
    ModelProto: { fields: { graph: { type: 'GraphProto', id: 7 } } },
    GraphProto: {
      fields: {
        initializer: { rule: 'repeated', type: 'TensorProto', id: 5 },
        input: { rule: 'repeated', type: 'ValueInfoProto', id: 11 },
        output: { rule: 'repeated', type: 'ValueInfoProto', id: 12 },
      },
    },
    TensorProto: { fields: { name: { type: 'string', id: 8 } } },
    ValueInfoProto: {
      fields: { name: { type: 'string', id: 1 }, type: { type: 'TypeProto', id: 2 } },
    },
    TypeProto: { fields: { tensorType: { type: 'TensorType', id: 1 } } },
    TensorType: {
      fields: { elemType: { type: 'int32', id: 1 }, shape: { type: 'ShapeProto', id: 2 } },
    },
    ShapeProto: { fields: { dim: { rule: 'repeated', type: 'Dimension', id: 1 } } },
    Dimension: {
      fields: { dimValue: { type: 'int64', id: 1 }, dimParam: { type: 'string', id: 2 } },
      oneofs: { value: { oneof: ['dimValue', 'dimParam'] } },
    },
  },
});

interface ValueInfo {
  readonly name: string;
  readonly type?: {
    readonly tensorType?: {
      readonly elemType: number;
      readonly shape?: {
        readonly dim: readonly { readonly dimValue?: number; readonly dimParam?: string }[];
      };
    };
  };
}

interface OnnxModel {
  readonly graph?: {
    readonly initializer: readonly { readonly name: string }[];
    readonly input: readonly ValueInfo[];
    readonly output: readonly ValueInfo[];
  };
}

/** TensorProto.DataType by number. */
const DATATYPES: Readonly<Record<number, Datatype>> = {
  1: 'FP32',
  2: 'UINT8',
  3: 'INT8',
  4: 'UINT16',
  5: 'INT16',
  6: 'INT32',
  7: 'INT64',
  8: 'BYTES',
  9: 'BOOL',
  10: 'FP16',
  11: 'FP64',
  12: 'UINT32',
  13: 'UINT64',
  16: 'BF16',
};

/** The signature of the graph in the file at `path`; throws when it holds none that we can take. */
export async function readGraphSignature(path: string): Promise<GraphSignature> {
  const type = ONNX.lookupType('ModelProto');
  const message = type.decode(await readFile(path));
  const { graph } = type.toObject(message, { longs: Number, arrays: true }) as OnnxModel;
  if (graph === undefined || graph.output.length === 0) throw new Error('it holds no ONNX graph');
  const weights = new Set(graph.initializer.map((tensor) => tensor.name));
  return {
    inputs: graph.input.filter((value) => !weights.has(value.name)).map(toTensorSpec),
    outputs: graph.output.map(toTensorSpec),
  };
}

function toTensorSpec({ name, type }: ValueInfo): TensorSpec {
  const tensor = type?.tensorType;
  const datatype = DATATYPES[tensor?.elemType ?? 0];
  if (tensor === undefined || datatype === undefined) {
    throw new Error(`${name} is not a tensor of a known datatype`);
  }
  return {
    name,
    datatype,
    shape: (tensor.shape?.dim ?? []).map((size) => size.dimValue ?? size.dimParam ?? null),
  };
}
