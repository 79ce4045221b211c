import type { Json } from '../../contract/payload.ts';
import type { Datatype, JsonTensor } from '../../contract/tensor.ts';
import { datatypeOf, openSession, ortTypeOf, Tensor } from '../../model/session.ts';
import type { Pipeline, PipelineSettings } from '../definition.ts';
import { flatten } from './elements.ts';
import { TENSOR_FILE } from './schema.ts';

/** Runs any ONNX graph on tensors written as Open Inference Protocol JSON. */
export async function openTensor(settings: PipelineSettings): Promise<Pipeline> {
  const session = await openSession(settings.files[TENSOR_FILE] ?? '', {
    device: settings.device,
    threads: settings.manifest.resources.threads,
    graph: settings.graphs[TENSOR_FILE],
  });
  return {
    async infer(input) {
      const tensors = input['inputs'] as readonly JsonTensor[];
      const feeds = Object.fromEntries(tensors.map((tensor) => [tensor.name, toOrt(tensor)]));
      const outputs = await session.run(feeds);
      return { outputs: Object.entries(outputs).map(([name, tensor]) => fromOrt(name, tensor)) };
    },
  };
}

function toOrt({ datatype, shape, data }: JsonTensor): Tensor {
  return new Tensor(ortTypeOf(datatype), elementsOf(datatype, flatten(data, shape.length)), shape);
}

function elementsOf(datatype: Datatype, data: readonly Json[]): Tensor.DataType {
  const numbers = data as readonly number[];
  switch (datatype) {
    case 'BOOL':
      return Uint8Array.from(data, Number);
    case 'UINT8':
      return Uint8Array.from(numbers);
    case 'UINT16':
      return Uint16Array.from(numbers);
    case 'UINT32':
      return Uint32Array.from(numbers);
    case 'UINT64':
      return BigUint64Array.from(data as readonly (number | string)[], BigInt);
    case 'INT8':
      return Int8Array.from(numbers);
    case 'INT16':
      return Int16Array.from(numbers);
    case 'INT32':
      return Int32Array.from(numbers);
    case 'INT64':
      return BigInt64Array.from(data as readonly (number | string)[], BigInt);
    case 'BF16': // Node has no bfloat16: `ortTypeOf` refuses it first
    case 'FP16':
      return Uint16Array.from(numbers, toHalf);
    case 'FP32':
      return Float32Array.from(numbers);
    case 'FP64':
      return Float64Array.from(numbers);
    case 'BYTES':
      return data as string[];
  }
}

function fromOrt(name: string, tensor: Tensor): Json {
  const datatype = datatypeOf(tensor.type);
  return { name, datatype, shape: tensor.dims, data: Array.from(jsonElements(datatype, tensor)) };
}

/** Integers beyond 2^53 become strings of digits; a float that is not finite becomes null. */
function jsonElements(datatype: Datatype, tensor: Tensor): Iterable<Json> {
  switch (datatype) {
    case 'BOOL':
      return Array.from(tensor.data as Uint8Array, Boolean);
    case 'INT64':
    case 'UINT64':
      return Array.from(tensor.data as BigInt64Array, (value) =>
        Number.isSafeInteger(Number(value)) ? Number(value) : String(value),
      );
    case 'FP16':
      return Array.from(tensor.data as Uint16Array, fromHalf);
    default:
      return tensor.data as Iterable<Json>;
  }
}

/** IEEE 754 binary32 → binary16 bits, rounded to nearest even. */
function toHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 65_520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | roundHalfEven(magnitude * 2 ** 24);
  const exponent = Math.floor(Math.log2(magnitude));
  const mantissa = roundHalfEven((magnitude / 2 ** exponent - 1) * 1024);
  return sign | (((exponent + 15) << 10) + mantissa); // a mantissa of 1024 carries into the exponent
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}
