import type { Json } from './payload.ts';

/** Tensor datatypes by their Open Inference Protocol names. */
export const DATATYPES = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'BYTES',
] as const;

/** More dimensions than any tensor has. */
export const MAX_RANK = 32;

export type Datatype = (typeof DATATYPES)[number];

/** A tensor in the JSON of the Open Inference Protocol: `data` is flat and row-major. */
export interface JsonTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data: readonly Json[];
}

/** What a graph says of one of its inputs or outputs. */
export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype;
  /** Sizes; a string names a dimension that may vary, null is one without a name. */
  readonly shape: readonly (number | string | null)[];
}

/** A graph's inputs and outputs, as written in its file. */
export interface GraphSignature {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** Outputs that are not served, each with its reason; absent: none. */
  readonly skipped?: readonly string[];
}

/** A shape as people write it: `[batch, 784]`. */
export const formatShape = (shape: TensorSpec['shape']): string =>
  `[${shape.map((size) => size ?? '?').join(', ')}]`;

/** How many elements a tensor of this shape has; 1 for a scalar. */
export const elementCount = (shape: readonly number[]): number =>
  shape.reduce((count, size) => count * size, 1);
