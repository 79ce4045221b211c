import { z } from 'zod';
import { messageOf } from '../../contract/failure.ts';
import {
  DATATYPES,
  elementCount,
  formatShape,
  type GraphSignature,
  MAX_RANK,
  type TensorSpec,
} from '../../contract/tensor.ts';
import { type BodyForm, type DescribePipeline, InvalidFieldError } from '../definition.ts';
import {
  type PackedTensor,
  packTensors,
  readHeader,
  TENSORS_MEDIA_TYPE,
} from '../../contract/packed-tensors.ts';
import { elementBytes, splitStrings } from './codec.ts';
import { elementProblem, flatten, textElementProblem } from './elements.ts';
import { toProtocolForm } from './forms.ts';
import { NPY_MEDIA_TYPE, readNpy } from './npy.ts';
import { describeTensorSpec, shapeFits } from './shapes.ts';

const MAX_SHOWN_ELEMENTS = 1024;
/** Decoding a string to check it takes 0.2 µs, in which nobody else is served. */
const MAX_TEXTS = 250_000;
const MAX_DIMENSION = 2 ** 31 - 1; // more than any tensor that fits into memory

const tensorSchema = z.strictObject({
  name: z.string(),
  datatype: z.enum(DATATYPES),
  shape: z.array(z.int().min(0).max(MAX_DIMENSION)).max(MAX_RANK),
  // In JSON always an array; the API may hand over bytes that arrived as bytes.
  data: z.unknown().meta({ type: 'array', description: 'Row-major, flat or nested as the shape.' }),
});

const optionsSchema = z.strictObject({
  binary: z
    .boolean()
    .default(false)
    .describe('Stores the outputs as bytes (application/vnd.buzzer.tensors) instead of JSON.'),
});

export type TensorOptions = z.infer<typeof optionsSchema>;
type InputTensor = z.infer<typeof tensorSchema>;
type Issue = (path: (string | number)[], message: string) => void;

/** The one graph of a `tensor` model. */
export const TENSOR_FILE = 'model';

export const describeTensor: DescribePipeline = (manifest, graphs) => {
  const graph = graphs[TENSOR_FILE];
  if (manifest.files[TENSOR_FILE] === undefined || graph === undefined) {
    throw new Error(`files: the tensor pipeline needs ${TENSOR_FILE}, an .onnx file`);
  }
  const inputs = z
    .array(tensorSchema)
    .superRefine((tensors, context) =>
      checkTensors(tensors, graph, (path, message) =>
        context.addIssue({ code: 'custom', path, message }),
      ),
    )
    .describe(`The graph's inputs: ${graph.inputs.map(describeTensorSpec).join('; ')}.`);
  const output = z.object({
    outputs: z.array(tensorSchema).describe(describeOutputs(graph)),
  });
  const input = z.strictObject({ inputs });
  return {
    output,
    input,
    forms: formsOf(input, graph),
    options: optionsSchema,
    example: exampleOf(graph),
    media: {},
    normalize: (given) => toProtocolForm(given, graph),
    isLarge: (path) => path.at(-1) === 'data',
    secretOptions: [],
    streaming: null,
    bodies:
      graph.inputs.length === 1 ? { [NPY_MEDIA_TYPE]: (bytes) => npyInput(bytes, graph) } : {},
    batchKey: batches(graph) ? ({ inputs: given }) => keyOf(given) : null,
  };
};

/** The protocol's form, the values by name, and the value alone for a graph with one input. */
function formsOf(input: z.ZodType, { inputs }: GraphSignature): z.ZodType {
  const values = inputs.map((spec) => [spec.name, valueOf(spec)] as const);
  const [only, ...others] = values;
  const isAlone = only !== undefined && others.length === 0;
  return z.union([
    input,
    z.strictObject(Object.fromEntries(values)),
    ...(isAlone ? [only[1]] : []),
  ]);
}

const valueOf = (spec: TensorSpec): z.ZodType =>
  (spec.shape.length === 0 ? z.any() : z.array(z.any())).describe(
    `${describeTensorSpec(spec)}, arrays nested as its shape.`,
  );

/** Zeros of the shapes that the graph asks for; null when they are too many to show. */
function exampleOf({ inputs }: GraphSignature): Readonly<Record<string, unknown>> | null {
  const shapes = inputs.map(({ shape }) =>
    shape.map((size) => (typeof size === 'number' ? size : 1)),
  );
  if (shapes.some((shape) => elementCount(shape) > MAX_SHOWN_ELEMENTS)) return null;
  const values = inputs.map(({ name, datatype }, index) => {
    const zero = datatype === 'BOOL' ? false : datatype === 'BYTES' ? '' : 0;
    const nested = (shape: readonly number[]): unknown => {
      const [size, ...rest] = shape;
      return size === undefined ? zero : Array.from({ length: size }, () => nested(rest));
    };
    return [name, nested(shapes[index] ?? [])];
  });
  return Object.fromEntries(values);
}

const describeOutputs = ({ outputs, skipped = [] }: GraphSignature): string =>
  [`The graph's outputs: ${outputs.map(describeTensorSpec).join('; ')}`, ...skipped]
    .map((sentence) => `${sentence}.`)
    .join(' ');

/** The one input of a graph as numpy saved it. */
function npyInput(bytes: Uint8Array, { inputs: [spec] }: GraphSignature): ReturnType<BodyForm> {
  let tensor: PackedTensor;
  try {
    tensor = { name: spec?.name ?? '', ...readNpy(bytes) };
  } catch (error) {
    throw new InvalidFieldError([], messageOf(error));
  }
  if (tensor.datatype !== spec?.datatype) {
    const found = `the .npy file holds ${tensor.datatype}, and ${tensor.name} must be ${spec?.datatype}`;
    const detail = `${found}: save array.astype(…)`;
    throw new InvalidFieldError([], detail);
  }
  const encode = () => packTensors([tensor]);
  return { input: { inputs: [tensor] }, field: 'inputs', encode, mediaType: TENSORS_MEDIA_TYPE };
}

/** A graph whose inputs and outputs all begin with the same axis, of any size. */
function batches({ inputs, outputs }: GraphSignature): boolean {
  const axes = [...inputs, ...outputs].map(({ shape }) => shape[0]);
  return axes.every((axis) => typeof axis !== 'number' && axis !== undefined && axis === axes[0]);
}

/** Equal for the same names, datatypes and shapes, in whatever order and form they come. */
function keyOf(inputs: unknown): string {
  const tensors =
    inputs instanceof Uint8Array
      ? readHeader(inputs)
      : (inputs as readonly Pick<PackedTensor, 'name' | 'datatype' | 'shape'>[]);
  const each = tensors.map(({ name, datatype, shape }) => `${name} ${datatype} ${shape.join()}`);
  return each.toSorted().join(';');
}

/** Text from a client, quoted and shortened for a message. */
const quote = (text: string): string => JSON.stringify(text.slice(0, 100));

function checkTensors(tensors: readonly InputTensor[], graph: GraphSignature, issue: Issue): void {
  const seen = new Set<string>();
  const sizes = new Map<string, number>();
  for (const [index, tensor] of tensors.entries()) {
    const spec = graph.inputs.find((input) => input.name === tensor.name);
    if (spec === undefined) {
      const names = graph.inputs.map((input) => input.name).join(', ');
      issue([index, 'name'], `no input is called ${quote(tensor.name)}: this model takes ${names}`);
    } else if (seen.has(tensor.name)) {
      issue([index, 'name'], `${tensor.name} is given twice`);
    } else {
      checkTensor(tensor, spec, sizes, (path, message) => issue([index, ...path], message));
    }
    seen.add(tensor.name);
  }
  const missing = graph.inputs.filter((input) => !seen.has(input.name));
  for (const spec of missing) issue([], `${describeTensorSpec(spec)} is missing`);
}

function checkTensor(
  tensor: InputTensor,
  spec: TensorSpec,
  sizes: Map<string, number>,
  issue: Issue,
): void {
  if (tensor.datatype !== spec.datatype) {
    issue(['datatype'], `${spec.name} must be ${spec.datatype}`);
    return;
  }
  if (!shapeFits(tensor.shape, spec, sizes)) {
    const shape = `must be ${formatShape(spec.shape)}, but is ${formatShape(tensor.shape)}`;
    issue(['shape'], `${spec.name} ${shape}`);
    return;
  }
  if (tensor.data instanceof Uint8Array) {
    const problem = bytesProblem(tensor, tensor.data);
    if (problem !== null) issue(['data'], `${spec.name} ${problem}`);
    return;
  }
  if (!Array.isArray(tensor.data)) {
    issue(['data'], `${spec.name} must be an array`);
    return;
  }
  const flat = flatten(tensor.data as readonly unknown[], tensor.shape.length);
  const expected = elementCount(tensor.shape);
  if (flat.length !== expected) {
    issue(['data'], `${spec.name} has ${flat.length} elements, but the shape holds ${expected}`);
    return;
  }
  for (let index = 0; index < flat.length; index++) {
    const problem = elementProblem(flat[index], tensor.datatype);
    if (problem !== null) {
      issue(['data', index], `${spec.name} ${problem}`);
      return;
    }
  }
}

/** Why these bytes are not a tensor of that shape and datatype; null when they are one. */
function bytesProblem({ datatype, shape }: InputTensor, data: Uint8Array): string | null {
  const expected = elementCount(shape);
  const size = elementBytes(datatype);
  if (size === null) return textProblem(data, expected);
  if (data.length !== expected * size) {
    return `has ${data.length} bytes, but ${expected} elements of ${datatype} have ${expected * size}`;
  }
  if (datatype !== 'BOOL') return null;
  for (let index = 0; index < data.length; index++) {
    if ((data[index] ?? 0) > 1) return 'has a byte that is neither 0 nor 1';
  }
  return null;
}

function textProblem(data: Uint8Array, expected: number): string | null {
  if (expected > MAX_TEXTS) return `has more than ${MAX_TEXTS} strings`;
  try {
    const texts = splitStrings(data, expected);
    if (texts.length !== expected) {
      return `has ${texts.length} elements, but the shape holds ${expected}`;
    }
    return texts.map(textElementProblem).find((problem) => problem !== null) ?? null;
  } catch (error) {
    return messageOf(error);
  }
}
