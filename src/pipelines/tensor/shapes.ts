/* The shapes that a graph asks of its inputs. */
import { formatShape, type TensorSpec } from '../../contract/tensor.ts';

/** As in `X FP32 [batch, 4]`. */
export const describeTensorSpec = (spec: TensorSpec): string =>
  `${spec.name} ${spec.datatype} ${formatShape(spec.shape)}`;

/**
 * Whether a tensor has the shape that is asked for. A named dimension must have the same size wherever
 * it appears in a request: `sizes` holds the sizes that are known, and gets the new ones.
 */
export function shapeFits(
  shape: readonly number[],
  spec: TensorSpec,
  sizes: Map<string, number>,
): boolean {
  if (shape.length !== spec.shape.length) return false;
  return spec.shape.every((expected, axis) => {
    const size = shape[axis] ?? 0;
    if (expected === null) return true;
    if (typeof expected === 'number') return expected === size;
    const known = sizes.get(expected) ?? size;
    sizes.set(expected, known);
    return known === size;
  });
}
