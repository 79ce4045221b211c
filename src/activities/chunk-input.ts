/* The input of one item of a batch, as the runtime takes it: checked like the input of a prediction. */
import { parseItem } from '../batches/item-index.ts';
import { Refusal } from '../contract/refusal.ts';
import { InvalidMediaError, inspectWhole, decodeDataUrl } from '../media/media-upload.ts';
import type { ModelVersion } from '../models/repository.ts';
import type { FieldValue, ItemInput } from '../runtime/protocol.ts';
import { InvalidInputError } from '../runtime/runtime.ts';
import { PayloadTooLargeError } from '../storage/payload-store.ts';
import { jsonInputs, type OrderInput, validateInputs } from '../submission/order.ts';

export interface InputLimits {
  readonly maxUploadBytes: number;
  readonly maxPixels: number;
}

/** One item, and its input or why it cannot have one. */
export interface ChunkItem {
  readonly custom_id: string;
  readonly index: number;
  readonly input: ItemInput | InvalidInputError;
}

export function chunkItem(
  line: Buffer,
  index: number,
  version: ModelVersion,
  limits: InputLimits,
): ChunkItem {
  const { custom_id, input } = parseItem(line);
  return { custom_id, index, input: inputOf(input, version, limits) };
}

function inputOf(
  given: unknown,
  version: ModelVersion,
  limits: InputLimits,
): ItemInput | InvalidInputError {
  try {
    const inputs = jsonInputs(version, given);
    validateInputs(version, inputs);
    const fields = Object.entries(inputs).map(([name, input]): [string, FieldValue] => {
      return [name, fieldOf(name, input, version, limits)];
    });
    return Object.fromEntries(fields);
  } catch (error) {
    if (error instanceof Refusal || error instanceof InvalidMediaError) {
      return new InvalidInputError(error.message);
    }
    if (error instanceof PayloadTooLargeError) return new InvalidInputError(error.message);
    throw error;
  }
}

function fieldOf(
  name: string,
  input: OrderInput,
  { schema }: ModelVersion,
  { maxUploadBytes, maxPixels }: InputLimits,
): FieldValue {
  if (input.kind === 'json') return { kind: 'value', value: input.value };
  const field = schema.media[name];
  if (input.kind !== 'data_url' || field === undefined) {
    throw new InvalidMediaError(`/input/${name}: must be a data URL`);
  }
  const bytes = decodeDataUrl(input.text, maxUploadBytes);
  inspectWhole(bytes, field, { maxPixels });
  return { kind: 'media', bytes };
}
