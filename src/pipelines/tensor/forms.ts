/*
 * The forms in which the input of a tensor model may come as JSON. The protocol's own:
 * `{"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 4], "data": […]}]}`; the short one, where
 * datatype and shape come from the graph: `{"X": [[5.1, 3.5, 1.4, 0.2]]}`; and the value alone for a graph
 * with one input. All become the first.
 */
import {
  type Datatype,
  formatShape,
  type GraphSignature,
  MAX_RANK,
  type TensorSpec,
} from '../../contract/tensor.ts';
import { InvalidFieldError } from '../definition.ts';
import { elementProblem } from './elements.ts';
import { describeTensorSpec, shapeFits } from './shapes.ts';

/** numpy's names of the datatypes. */
const NUMPY_NAMES: Readonly<Record<string, Datatype>> = {
  bool: 'BOOL',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  float16: 'FP16',
  float32: 'FP32',
  float64: 'FP64',
  str: 'BYTES',
};

/** Turns any form into the protocol's, as far as possible; throws `InvalidFieldError`. */
export function toProtocolForm(
  input: unknown,
  graph: GraphSignature,
): Readonly<Record<string, unknown>> {
  const [only] = graph.inputs;
  if (!isObject(input)) {
    if (only !== undefined && graph.inputs.length === 1 && input !== null) {
      return { inputs: [tensorOf(input, only, [], new Map())] };
    }
    throw new InvalidFieldError([], `must be an object with ${namesIn(graph)}`);
  }
  if (isProtocolForm(input, graph)) return { ...input, inputs: namedByUs(input['inputs'], graph) };
  const sizes = new Map<string, number>();
  const tensors = Object.entries(input).map(([name, value]) => {
    const spec = graph.inputs.find((each) => each.name === name);
    if (spec !== undefined) return tensorOf(value, spec, [name], sizes);
    const shown = JSON.stringify(name.slice(0, 100));
    throw new InvalidFieldError(
      [name],
      `no input is called ${shown}: this model takes ${namesIn(graph)}`,
    );
  });
  const missing = graph.inputs.find(({ name }) => !Object.hasOwn(input, name));
  if (missing === undefined) return { inputs: tensors };
  throw new InvalidFieldError([missing.name], `${describeTensorSpec(missing)} is missing`);
}

const namesIn = ({ inputs }: GraphSignature): string => inputs.map(({ name }) => name).join(', ');

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A graph may itself have an input called `inputs`. */
function isProtocolForm(input: Readonly<Record<string, unknown>>, graph: GraphSignature): boolean {
  if (!Object.hasOwn(input, 'inputs')) return false;
  if (graph.inputs.every(({ name }) => name !== 'inputs')) return true;
  const given = input['inputs'];
  return Array.isArray(given) && given.length > 0 && isObject(given[0]);
}

/** Tensors with the protocol's names of datatypes. They are counted before they are looked at. */
function namedByUs(tensors: unknown, graph: GraphSignature): unknown {
  if (!Array.isArray(tensors)) return tensors;
  const count = graph.inputs.length;
  if (tensors.length > count) {
    const what = `${count} tensor${count === 1 ? '' : 's'}: ${namesIn(graph)}`;
    throw new InvalidFieldError(['inputs'], `this model takes ${what}`);
  }
  return tensors.map((tensor: unknown) => {
    if (!isObject(tensor) || typeof tensor['datatype'] !== 'string') return tensor;
    const { datatype } = tensor;
    const known = Object.hasOwn(NUMPY_NAMES, datatype) ? NUMPY_NAMES[datatype] : undefined;
    return known === undefined ? tensor : { ...tensor, datatype: known };
  });
}

/** A value, nested as the tensor's shape, or a single one for a tensor without dimensions. */
function tensorOf(
  value: unknown,
  spec: TensorSpec,
  path: readonly string[],
  sizes: Map<string, number>,
) {
  const { name, datatype } = spec;
  const shape = shapeOf(value);
  const before = [...sizes];
  if (!shapeFits(shape, spec, sizes)) {
    const known = before.map(([dimension, size]) => `${dimension} is ${size}`);
    const where = known.length === 0 ? '' : ` where ${known.join(', ')}`;
    const wanted = `${datatype} ${formatShape(spec.shape)}${where}`;
    throw new InvalidFieldError(path, `must be ${wanted}, but is ${formatShape(shape)}`);
  }
  const data: unknown[] = [];
  const take = (part: unknown, at: readonly string[], axis: number): void => {
    const size = shape[axis];
    if (size === undefined) {
      const problem = elementProblem(part, datatype);
      if (problem !== null) throw new InvalidFieldError(at, problem);
      data.push(part);
      return;
    }
    if (!Array.isArray(part) || part.length !== size) {
      const found = Array.isArray(part) ? part.length : 'no array';
      throw new InvalidFieldError(
        at,
        `must have ${size} elements like those before it, and has ${found}`,
      );
    }
    // A row of numbers is walked without making a path for each: it is made when one is wrong.
    if (axis === shape.length - 1) takeRow(part, at, datatype, data);
    else for (const [index, each] of part.entries()) take(each, [...at, String(index)], axis + 1);
  };
  take(value, path, 0);
  return { name, datatype, shape, data };
}

function takeRow(
  row: readonly unknown[],
  at: readonly string[],
  datatype: Datatype,
  data: unknown[],
): void {
  for (let index = 0; index < row.length; index++) {
    const problem = elementProblem(row[index], datatype);
    if (problem !== null) throw new InvalidFieldError([...at, String(index)], problem);
    data.push(row[index]);
  }
}

/** The sizes of the first element of each level. */
function shapeOf(value: unknown): readonly number[] {
  const shape: number[] = [];
  let part = value;
  while (Array.isArray(part) && shape.length <= MAX_RANK) {
    shape.push(part.length);
    part = part[0];
  }
  return shape;
}
