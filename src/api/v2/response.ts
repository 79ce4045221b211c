/* An ended prediction as the answer to an infer request of the Open Inference Protocol (v2). */
import {
  isPacked,
  type PackedTensor,
  TENSORS_MEDIA_TYPE,
  unpackTensors,
} from '../../contract/packed-tensors.ts';
import type { Stored } from '../../contract/payload.ts';
import type { Accepted } from '../../contract/prediction.ts';
import { elementCount, type JsonTensor } from '../../contract/tensor.ts';
import { toJson } from '../../pipelines/index.ts';
import type { OutputRoom } from '../../records/prediction-reader.ts';
import { readClaim } from '../../storage/claims.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import { Problem } from '../http/problems.ts';
import type { InferRequestV2 } from './request.ts';

export interface InferResponse {
  readonly body: Buffer;
  /** How long the JSON is; null when nothing follows it. */
  readonly headerLength: number | null;
}

/** The outputs that were asked for, as JSON or bytes each. */
export async function inferResponse(
  accepted: Accepted,
  output: Stored,
  { outputs: wanted, id }: Pick<InferRequestV2, 'outputs' | 'id'>,
  store: PayloadStore,
  room: OutputRoom,
): Promise<InferResponse> {
  if (output.kind === 'claim') room.take(COPIES * output.claim.bytes);
  const tensors = await readTensors(output, store);
  const parts: Uint8Array[] = [];
  const outputs = wanted.map(({ name, isBinary }) => {
    const tensor = tensors.find((each) => each.name === name);
    if (tensor === undefined) throw new Error(`${accepted.id} has no output ${name}`);
    if (!isBinary || !isPacked(tensor)) return asJson(tensor);
    const { datatype, shape, data } = tensor;
    parts.push(data);
    return { name, datatype, shape, parameters: { binary_data_size: data.length } };
  });
  const json = Buffer.from(
    JSON.stringify({
      model_name: accepted.model,
      model_version: String(accepted.version),
      id: id ?? accepted.id,
      parameters: { prediction_id: accepted.id },
      outputs,
    }),
  );
  if (parts.length === 0) return { body: json, headerLength: null };
  return { body: Buffer.concat([json, ...parts]), headerLength: json.length };
}

type Tensor = PackedTensor | JsonTensor;

/** Parsing or making more JSON would hold up every other request. */
const MAX_JSON_ELEMENTS = 400_000;
const MAX_JSON_BYTES = 4 * 1024 ** 2;
/** The output is in memory twice: as it was read, and as it is sent. */
const COPIES = 2;

function asJson(tensor: Tensor): JsonTensor {
  if (!isPacked(tensor)) return tensor;
  const count = elementCount(tensor.shape);
  if (count <= MAX_JSON_ELEMENTS) return toJson(tensor);
  const detail = `${tensor.name} has ${count} elements, too many for JSON: ask for it as bytes`;
  throw new Problem('payload_too_large', detail);
}

async function readTensors(output: Stored, store: PayloadStore): Promise<readonly Tensor[]> {
  if (output.kind === 'inline') return tensorsIn(output.value);
  const bytes = await readClaim(store, output.claim);
  if (output.claim.media_type === TENSORS_MEDIA_TYPE) return unpackTensors(bytes);
  if (bytes.length > MAX_JSON_BYTES) {
    const detail = `the output has ${bytes.length} bytes of JSON: ask for it as bytes (binary_data_output)`;
    throw new Problem('payload_too_large', detail);
  }
  return tensorsIn(JSON.parse(bytes.toString('utf8')));
}

const tensorsIn = (output: unknown): readonly Tensor[] =>
  (output as { outputs: readonly JsonTensor[] }).outputs;
