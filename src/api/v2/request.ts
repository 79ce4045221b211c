/*
 * The body of an infer request of the Open Inference Protocol (v2): JSON, or JSON followed by the
 * bytes of its tensors (the binary tensor data extension).
 */
import { z } from 'zod';
import {
  isPacked,
  type PackedTensor,
  packTensors,
  TENSORS_MEDIA_TYPE,
} from '../../contract/packed-tensors.ts';
import type { GraphSignature, JsonTensor, TensorSpec } from '../../contract/tensor.ts';
import { toPacked } from '../../pipelines/index.ts';
import { DEFAULT_PRIORITY } from '../../contract/prediction.ts';
import type { Encoding } from '../../submission/order.ts';
import { Problem } from '../http/problems.ts';
import { parseJson } from '../http/json-text.ts';
import { type IsLarge, parseBody } from '../../submission/parse.ts';
import { MAX_WAIT_S } from '../http/prefer.ts';

/** How long the JSON is when bytes follow it. */
export const HEADER_LENGTH = 'Inference-Header-Content-Length';

/** More members than any client sends. */
const MAX_PARAMETERS = 64;

const parametersSchema = z
  .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
  .refine((given) => Object.keys(given).length <= MAX_PARAMETERS, 'has too many members');
type Parameters = z.infer<typeof parametersSchema>;

/** A list of no more than `max` of these. */
const fewOf = <T>(max: number, what: string, schema: z.ZodType<T>) =>
  z.array(schema).max(max, `this model has ${max} ${what}`);

/** Only `data` may have more elements than anybody writes by hand. */
const isData: IsLarge = ([inputs, _index, data]) => inputs === 'inputs' && data === 'data';

const inputSchema = z.object({
  name: z.string(),
  shape: z.array(z.unknown()),
  datatype: z.string(),
  parameters: parametersSchema.default({}),
  data: z.custom<unknown[]>(Array.isArray, 'must be an array').nullish(), // KServe's client writes null beside bytes
});

const outputSchema = z.object({ name: z.string(), parameters: parametersSchema.default({}) });

const requestSchema = ({ inputs, outputs }: GraphSignature) =>
  z.object({
    id: z.string().max(256).optional(),
    parameters: parametersSchema.default({}),
    inputs: fewOf(inputs.length, `input(s): ${namesOf(inputs)}`, inputSchema),
    outputs: fewOf(outputs.length, `output(s): ${namesOf(outputs)}`, outputSchema).optional(),
  });

const namesOf = (specs: readonly TensorSpec[]): string => specs.map(({ name }) => name).join(', ');

type GivenTensor = z.infer<typeof inputSchema>;

/** What the client wants of one output. */
interface WantedOutput {
  readonly name: string;
  readonly isBinary: boolean;
}

export interface InferRequestV2 {
  /** The client's own name for it; null when it gave none. */
  readonly id: string | null;
  /** Tensors as the `tensor` pipeline validates them; data are arrays or bytes. */
  readonly inputs: readonly object[];
  /** How they are kept when any of them came as bytes; null: as JSON. */
  readonly encoding: Encoding | null;
  readonly outputs: readonly WantedOutput[];
  /** How long the client waits, in seconds. */
  readonly waitS: number;
  /** 1 (first) to 5. */
  readonly priority: number;
}

const MICROSECONDS = 1_000_000;
/** Parameters that would change the result, and that we cannot honour. */
const REFUSED = ['classification', 'shared_memory_region', 'sequence_id'];

/** Reads a request for a model with this graph; throws `Problem`. */
export function parseInferRequest(
  body: Buffer,
  headerLength: string | undefined,
  graph: GraphSignature,
  maxJsonBytes: number,
): InferRequestV2 {
  const { json, binary } = splitBody(body, headerLength, maxJsonBytes);
  const request = parseBody(requestSchema(graph), json, [], isData);
  const all = [request, ...request.inputs, ...(request.outputs ?? [])];
  for (const { parameters } of all) refuseUnsupported(parameters);
  const inputs = takeBytes(request.inputs, binary);
  const outputs = wantedOutputs(request.outputs, request.parameters, graph);
  const { timeout, priority } = request.parameters;
  const waitS = typeof timeout === 'number' && timeout > 0 ? timeout / MICROSECONDS : MAX_WAIT_S;
  return {
    id: request.id ?? null,
    inputs,
    encoding: encodingOf(inputs),
    outputs,
    waitS: Math.min(MAX_WAIT_S, waitS),
    // 0 means the default of the model; a number above 5 is the same as 5, the last.
    priority:
      typeof priority === 'number' && priority >= 1
        ? Math.min(5, Math.floor(priority))
        : DEFAULT_PRIORITY,
  };
}

function splitBody(body: Buffer, headerLength: string | undefined, maxJsonBytes: number) {
  const isWhole = headerLength === undefined;
  const length = isWhole ? body.length : Number(headerLength);
  if (!isWhole && (!/^\d{1,10}$/.test(headerLength) || length > body.length)) {
    const detail = `${HEADER_LENGTH}: ${headerLength} does not fit a body of ${body.length} bytes`;
    throw new Problem('malformed_request', detail);
  }
  if (length > maxJsonBytes) {
    const detail = `the JSON may have at most ${maxJsonBytes} bytes (BUZZER_MAX_JSON): send tensors as bytes`;
    throw new Problem('payload_too_large', detail);
  }
  const json = parseJson(body.subarray(0, length), 'the request');
  return { json, binary: body.subarray(length) };
}

function refuseUnsupported(parameters: Parameters): void {
  const refused = REFUSED.find((name) => parameters[name] !== undefined);
  if (refused === undefined) return;
  throw new Problem('invalid_input', `the parameter ${refused} is not supported here`);
}

/** Gives each tensor that came as bytes its share of them, in their order. */
function takeBytes(tensors: readonly GivenTensor[], binary: Buffer): readonly object[] {
  let offset = 0;
  const taken = tensors.map(({ name, datatype, shape, parameters, data }) => {
    const size = parameters['binary_data_size'];
    if (size === undefined) return { name, datatype, shape, data: data ?? [] };
    const isSize = typeof size === 'number' && Number.isInteger(size) && size >= 0;
    if (!isSize) {
      const detail = `${name}: binary_data_size must be a whole number of bytes`;
      throw new Problem('malformed_request', detail);
    }
    if (offset + size > binary.length) {
      const detail = `${name}: binary_data_size is ${size}, but ${binary.length - offset} bytes are left`;
      throw new Problem('malformed_request', detail);
    }
    const bytes = binary.subarray(offset, offset + size);
    offset += size;
    return { name, datatype, shape, data: bytes };
  });
  if (offset === binary.length) return taken;
  throw new Problem(
    'malformed_request',
    `${binary.length - offset} bytes follow the JSON that belong to no input`,
  );
}

function encodingOf(inputs: readonly object[]): Encoding | null {
  const tensors = inputs as readonly (PackedTensor | JsonTensor)[];
  if (!tensors.some(isPacked)) return null;
  const encode = () => packTensors(tensors.map((each) => (isPacked(each) ? each : toPacked(each))));
  return { encode, mediaType: TENSORS_MEDIA_TYPE };
}

function wantedOutputs(
  wanted: readonly z.infer<typeof outputSchema>[] | undefined,
  parameters: Parameters,
  { outputs }: GraphSignature,
): readonly WantedOutput[] {
  const byDefault = parameters['binary_data_output'] === true;
  if (wanted === undefined || wanted.length === 0) {
    return outputs.map(({ name }) => ({ name, isBinary: byDefault }));
  }
  return wanted.map(({ name, parameters: own }, index) => {
    if (wanted.findIndex((other) => other.name === name) < index) {
      throw new Problem('invalid_input', `the output ${name.slice(0, 100)} is asked for twice`);
    }
    if (!outputs.some((output) => output.name === name)) {
      const known = outputs.map((output) => output.name).join(', ');
      const detail = `there is no output ${name.slice(0, 100)}: this model gives ${known}`;
      throw new Problem('invalid_input', detail);
    }
    const { binary_data: isBinary } = own;
    return { name, isBinary: typeof isBinary === 'boolean' ? isBinary : byDefault };
  });
}
