/*
 * Reads the inputs and outputs of a graph out of an .onnx file, without ONNX Runtime. The fields
 * and their numbers are those of onnx.proto3 (onnx/onnx, IR version 10).
 */
import protobuf from 'protobufjs/light.js';
import { findWeights, readGraphFile } from './graph-file.ts';
import type { Datatype, GraphSignature, TensorSpec } from '../contract/tensor.ts';

const ONNX = protobuf.Root.fromJSON({
  nested: {
    ValueInfoProto: {
      fields: { name: { type: 'string', id: 1 }, type: { type: 'TypeProto', id: 2 } },
    },
    TypeProto: {
      fields: {
        tensorType: { type: 'TensorType', id: 1 },
        sequenceType: { type: 'ElementType', id: 4 },
        mapType: { type: 'MapType', id: 5 },
        optionalType: { type: 'ElementType', id: 9 },
      },
    },
    ElementType: { fields: { elemType: { type: 'TypeProto', id: 1 } } },
    MapType: {
      fields: { keyType: { type: 'int32', id: 1 }, valueType: { type: 'TypeProto', id: 2 } },
    },
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

interface TypeProto {
  readonly tensorType?: {
    readonly elemType: number;
    readonly shape?: {
      readonly dim: readonly { readonly dimValue?: number; readonly dimParam?: string }[];
    };
  };
  readonly sequenceType?: { readonly elemType?: TypeProto };
  readonly mapType?: { readonly keyType: number; readonly valueType?: TypeProto };
  readonly optionalType?: { readonly elemType?: TypeProto };
}

interface ValueInfo {
  readonly name: string;
  readonly type?: TypeProto;
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
};

/** ONNX's own names of the elements, for messages. */
const ELEMENT_NAMES = (
  '? float uint8 int8 uint16 int16 int32 int64 string bool float16 double ' +
  'uint32 uint64 complex64 complex128 bfloat16'
).split(' ');

/** The file is ONNX, but its graph cannot be served. The message says what to do. */
export class UnsupportedGraphError extends Error {
  override readonly name = 'UnsupportedGraphError';
}

/**
 * The signature of the graph in the file at `path`; throws when it holds none that we can take. Outputs
 * that cannot be served are left out, as long as there are others.
 */
export async function readGraphSignature(path: string): Promise<GraphSignature> {
  const file = await readGraphFile(path);
  const all = { inputs: file.inputs.map(valueInfo), outputs: file.outputs.map(valueInfo) };
  if (all.outputs.length === 0) throw new Error('it holds no ONNX graph');
  const weights = await findWeights(path, new Set(all.inputs.map(({ name }) => name)));
  const inputs = all.inputs.filter((value) => !weights.has(value.name));
  const [otherInput] = inputs.filter((value) => !isTensor(value));
  if (otherInput !== undefined) throw new UnsupportedGraphError(typeOf(otherInput));
  const outputs = all.outputs.filter(isTensor);
  const skipped = all.outputs.filter((value) => !isTensor(value)).map(typeOf);
  if (outputs.length === 0) throw new UnsupportedGraphError(skipped.join('; '));
  return {
    inputs: inputs.map(toTensorSpec),
    outputs: outputs.map(toTensorSpec),
    ...(skipped.length === 0 ? {} : { skipped }),
  };
}

function valueInfo(encoded: Uint8Array): ValueInfo {
  const type = ONNX.lookupType('ValueInfoProto');
  const message = type.decode(encoded);
  return { name: '', ...type.toObject(message, { longs: Number, arrays: true }) };
}

const isTensor = ({ type }: ValueInfo): boolean =>
  DATATYPES[type?.tensorType?.elemType ?? 0] !== undefined;

/** Describes an input or output that cannot be served, and says how to export it in another way. */
function typeOf({ name, type }: ValueInfo): string {
  if (type?.tensorType) return `${name} is a tensor of ${nameOf(type)}, which is not supported`;
  const text = `${name} is ${nameOf(type)}, and only tensors are served`;
  const isOfMaps = type?.sequenceType?.elemType?.mapType !== undefined;
  return isOfMaps ? `${text}: export with zipmap=False (skl2onnx)` : text;
}

function nameOf(type: TypeProto | undefined): string {
  const element = (number: number) => ELEMENT_NAMES[number] ?? '?';
  if (type?.tensorType) return element(type.tensorType.elemType);
  if (type?.sequenceType) return `sequence<${nameOf(type.sequenceType.elemType)}>`;
  if (type?.optionalType) return `optional<${nameOf(type.optionalType.elemType)}>`;
  if (!type?.mapType) return 'of an unknown type';
  return `map<${element(type.mapType.keyType)},${nameOf(type.mapType.valueType)}>`;
}

/** The shape and datatype of a value that `isTensor` has accepted. */
const toTensorSpec = ({ name, type }: ValueInfo): TensorSpec => ({
  name,
  datatype: DATATYPES[type?.tensorType?.elemType ?? 0] ?? 'FP32',
  shape: (type?.tensorType?.shape?.dim ?? []).map((size) => size.dimValue ?? size.dimParam ?? null),
});
