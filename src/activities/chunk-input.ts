/* The input of one item of a batch, as the runtime takes it: checked like the input of a prediction. */
import { createHash } from 'node:crypto';
import { type Item, parseItem } from '../batches/item-index.ts';
import { type ItemError, itemError } from '../contract/batch.ts';
import type { FetchedItems } from '../contract/batch-messages.ts';
import type { Claim, Json } from '../contract/payload.ts';
import { Refusal } from '../contract/refusal.ts';
import type { Files } from '../files/files.ts';
import { fileAsMedia } from '../media/file-as-media.ts';
import { InvalidMediaError, inspectWhole, decodeDataUrl } from '../media/media-upload.ts';
import type { ModelVersion } from '../models/repository.ts';
import type { FieldValue } from '../runtime/protocol.ts';
import type { ManyRequest } from '../runtime/runtime.ts';
import {
  isPayloadLost,
  type PayloadStore,
  PayloadTooLargeError,
} from '../storage/payload-store.ts';
import { withSeed } from '../submission/accepted-record.ts';
import { jsonInputs, type OrderInput, validateInputs } from '../submission/order.ts';
import { parseBody } from '../submission/parse.ts';
import { itemErrorOf } from './failures.ts';
import type { ReadInputs } from './media-input.ts';

export interface InputLimits {
  readonly maxUploadBytes: number;
  readonly maxPixels: number;
}

/** One item, and what is run for it, or why nothing can be. */
export interface ChunkItem {
  readonly custom_id: string;
  readonly index: number;
  readonly run: ManyRequest['items'][number] | ItemError;
  /** How much of it is held in memory. */
  readonly bytes: number;
}

/** What the inputs of items are made with. */
export interface ItemInputs {
  readonly tenant: string;
  /** The id of the batch. */
  readonly batch: string;
  /** Those of the batch. */
  readonly options: Readonly<Record<string, Json>>;
  readonly version: ModelVersion;
  readonly limits: InputLimits;
  readonly files: Files;
  readonly store: PayloadStore;
  /** What was fetched for items whose input is given by URL. */
  readonly fetched: FetchedItems;
  /** Reads what lies in the store, until the items are done. */
  readonly reads: ReadInputs;
}

/** Throws only what no item has caused, such as a store that does not answer. */
export async function chunkItem(
  line: Buffer,
  index: number,
  inputs: ItemInputs,
): Promise<ChunkItem> {
  const item = parseItem(line);
  const run = await runOf(item, index, inputs);
  return { custom_id: item.custom_id, index, run, bytes: line.length + mediaBytesIn(run) };
}

async function runOf(item: Item, index: number, made: ItemInputs): Promise<ChunkItem['run']> {
  if (item.refused !== undefined) return itemError('invalid_input', item.refused);
  try {
    const fetched = made.fetched[index] ?? {};
    const options = withSeed(optionsOf(item, made), made.version, () => seedOf(made.batch, index));
    const inputs = jsonInputs(made.version, item.input);
    validateInputs(made.version, inputs);
    const fields: [string, FieldValue][] = [];
    for (const [name, input] of Object.entries(inputs)) {
      const isJson = input.kind === 'json';
      const field: FieldValue = isJson
        ? { kind: 'value', value: input.value }
        : await mediaOf(name, input, made, fetched[name]);
      fields.push([name, field]);
    }
    return { input: Object.fromEntries(fields), options };
  } catch (error) {
    if (error instanceof NotFetchedError) return error.reason;
    if (isPayloadLost(error)) return itemErrorOf(error);
    if (isOfTheItem(error)) return itemError('invalid_input', error.message);
    throw error;
  }
}

function mediaBytesIn(run: ChunkItem['run']): number {
  if ('code' in run) return 0;
  return Object.values(run.input).reduce(
    (sum, field) => sum + (field.kind === 'media' ? field.bytes.length : 0),
    0,
  );
}

/** The same at each attempt, and another one for each item. */
const seedOf = (batch: string, index: number): number =>
  createHash('sha256').update(`${batch} ${index}`).digest().readUInt32BE(0);

/** An item may have options of its own beside those of its batch. */
function optionsOf({ options }: Item, made: ItemInputs): Readonly<Record<string, Json>> {
  if (options === undefined) return made.options;
  const all = { ...made.options, ...options };
  parseBody(made.version.schema.options, all, ['options']);
  return all as Readonly<Record<string, Json>>;
}

async function mediaOf(
  name: string,
  input: Exclude<OrderInput, { kind: 'json' }>,
  { tenant, version, limits, files, store, reads }: ItemInputs,
  fetched: Claim | ItemError | undefined,
): Promise<FieldValue> {
  const field = version.schema.media[name];
  if (field !== undefined && input.kind === 'data_url') {
    const bytes = decodeDataUrl(input.text, limits.maxUploadBytes);
    inspectWhole(bytes, field, limits);
    return { kind: 'media', bytes };
  }
  if (field !== undefined && input.kind === 'file') {
    const claim = await fileAsMedia({ tenant, id: input.id }, field, limits, { files, store });
    return await reads.media(claim);
  }
  if (input.kind === 'url' && fetched !== undefined) {
    if ('code' in fetched) throw new NotFetchedError(fetched);
    return await reads.media(fetched);
  }
  throw new InvalidMediaError(`/input/${name}: must be a data URL, a URL or the id of a file`);
}

/** What an item's URL leads to could not be fetched. */
class NotFetchedError extends Error {
  override readonly name = 'NotFetchedError';
  readonly reason: ItemError;
  constructor(reason: ItemError) {
    super(reason.message);
    this.reason = reason;
  }
}

/** Errors that are the fault of what an item says. */
const isOfTheItem = (error: unknown): error is Error =>
  error instanceof Refusal ||
  error instanceof InvalidMediaError ||
  error instanceof PayloadTooLargeError;
