/* Runs any ONNX graph on tensors, one inference or several joined along their first axis. */
import {
  type PackedTensor,
  packParts,
  TENSORS_MEDIA_TYPE,
  unpackTensors,
} from '../../contract/packed-tensors.ts';
import type { Json } from '../../contract/payload.ts';
import type { JsonTensor } from '../../contract/tensor.ts';
import { datatypeOf, openSession, ortTypeOf, type Session, Tensor } from '../../onnx/session.ts';
import {
  EncodedOutput,
  type Pipeline,
  type PipelineInput,
  type PipelineOutput,
  type PipelineSettings,
} from '../definition.ts';
import {
  bytesOf,
  elementBytes,
  type ElementArray,
  elementsOf,
  joinStrings,
  splitStrings,
  toJson,
  toPacked,
} from './codec.ts';
import { TENSOR_FILE, type TensorOptions } from './schema.ts';

type Tensors = readonly PackedTensor[];

export async function openTensor(settings: PipelineSettings): Promise<Pipeline> {
  const session = await openSession(settings.files[TENSOR_FILE] ?? '', {
    device: settings.device,
    threads: settings.manifest.resources.threads,
    graph: settings.graphs[TENSOR_FILE],
  });
  return {
    async infer(item) {
      return encode(await run(session, readInputs(item)), item);
    },
    async inferBatch(items) {
      const outputs = await run(session, joinAll(items.map(readInputs)));
      return splitAll(outputs, items.length).map((tensors, index) =>
        encode(tensors, items[index] as PipelineInput),
      );
    },
  };
}

function readInputs({ input }: PipelineInput): Tensors {
  const { inputs } = input;
  if (inputs instanceof Uint8Array) return unpackTensors(inputs);
  return (inputs as readonly JsonTensor[]).map(toPacked);
}

function encode(tensors: Tensors, { options }: PipelineInput): PipelineOutput {
  const { binary } = options as TensorOptions;
  if (binary) return new EncodedOutput(packParts(tensors), TENSORS_MEDIA_TYPE);
  return { outputs: tensors.map(toJson) as unknown as Json };
}

async function run(session: Session, inputs: Tensors): Promise<Tensors> {
  const feeds = Object.fromEntries(inputs.map((tensor) => [tensor.name, toOrt(tensor)]));
  const outputs = await session.run(feeds);
  return Object.entries(outputs).map(([name, tensor]) => fromOrt(name, tensor));
}

function toOrt({ datatype, shape, data }: PackedTensor): Tensor {
  const type = ortTypeOf(datatype);
  const elements = datatype === 'BYTES' ? splitStrings(data) : elementsOf(datatype, data);
  return new Tensor(type, elements, shape);
}

function fromOrt(name: string, tensor: Tensor): PackedTensor {
  const datatype = datatypeOf(tensor.type);
  const isText = datatype === 'BYTES';
  const data = isText
    ? joinStrings(tensor.data as unknown as string[])
    : bytesOf(tensor.data as ElementArray);
  return { name, datatype, shape: tensor.dims, data };
}

/** Tensors of the same names and shapes → one of each name, joined along the first axis. */
function joinAll(items: readonly Tensors[]): Tensors {
  const [first = []] = items;
  return first.map(({ name, datatype, shape }) => {
    const [rows = 0, ...rest] = shape;
    const parts = items.map((tensors) => dataOf(tensors, name));
    return { name, datatype, shape: [rows * items.length, ...rest], data: Buffer.concat(parts) };
  });
}

const dataOf = (tensors: Tensors, name: string): Uint8Array =>
  tensors.find((tensor) => tensor.name === name)?.data ?? new Uint8Array();

/** What `joinAll` has joined, taken apart; throws when the graph did not keep the first axis. */
function splitAll(tensors: Tensors, count: number): readonly Tensors[] {
  const split = tensors.map((tensor) => splitRows(tensor, count));
  return Array.from({ length: count }, (_, index) => split.flatMap((parts) => parts[index] ?? []));
}

function splitRows(tensor: PackedTensor, count: number): readonly PackedTensor[] {
  const [rows = 0, ...rest] = tensor.shape;
  const each = rows / count;
  if (!Number.isInteger(each) || tensor.shape.length === 0) {
    throw new Error(`${tensor.name} has ${rows} rows for a batch of ${count}`);
  }
  const shape = [each, ...rest];
  const parts = elementBytes(tensor.datatype) === null ? splitText(tensor.data, count) : null;
  const bytes = tensor.data.length / count;
  return Array.from({ length: count }, (_, index) => ({
    ...tensor,
    shape,
    data: parts?.[index] ?? tensor.data.subarray(index * bytes, (index + 1) * bytes),
  }));
}

function splitText(data: Uint8Array, count: number): readonly Uint8Array[] {
  const strings = splitStrings(data);
  const each = strings.length / count;
  return Array.from({ length: count }, (_, index) =>
    joinStrings(strings.slice(index * each, (index + 1) * each)),
  );
}
