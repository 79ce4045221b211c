/* Tensors of whatever type an export has chosen. */
import type { TensorSpec } from '../../contract/tensor.ts';
import { ortTypeOf, Tensor } from '../../onnx/session.ts';
import { fromHalf, toHalf } from '../shared/half.ts';

/** `values` as a tensor for the input `spec`. */
export function tensorFor(
  spec: Pick<TensorSpec, 'datatype'>,
  values: Float32Array | readonly number[],
  dims: readonly number[],
): Tensor {
  switch (spec.datatype) {
    case 'FP16':
      return new Tensor('float16', Uint16Array.from(values, toHalf), dims);
    case 'FP64':
      return new Tensor('float64', Float64Array.from(values), dims);
    case 'INT64':
      return new Tensor('int64', BigInt64Array.from(values as number[], toBigInt), dims);
    case 'INT32':
      return new Tensor('int32', Int32Array.from(values as number[], Math.round), dims);
    case 'FP32':
      return new Tensor(
        'float32',
        values instanceof Float32Array ? values : Float32Array.from(values),
        dims,
      );
    default:
      throw new Error(`an input of ${ortTypeOf(spec.datatype)} is not supported`);
  }
}

const toBigInt = (value: number): bigint => BigInt(Math.round(value));

/** The values of a tensor in single precision. */
export function valuesOf({ type, data }: Tensor): Float32Array {
  if (type === 'float32') return data as Float32Array;
  if (type === 'float16') return Float32Array.from(data as Uint16Array, fromHalf);
  return Float32Array.from(data as Float64Array);
}
