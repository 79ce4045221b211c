/* What a request for a prediction may hold, before its model's pipeline has its say. */
import { z } from 'zod';
import { jsonBytes } from '../contract/payload.ts';
import { BATCH_PRIORITY } from '../contract/batch.ts';
import { FILE_ID } from '../contract/ids.ts';
import { DEFAULT_PRIORITY } from '../contract/prediction.ts';
import {
  BATCH_EVENTS,
  EVENTS,
  PREDICTION_EVENTS,
  type RecordEvent,
  type RequestedWebhook,
} from '../contract/receivers.ts';

const MAX_METADATA_BYTES = 4096; // a memo holds it
const MAX_TAGS = 16;
/** A duration or a time, written out. */
export const MAX_TIME_CHARS = 64;
export const MAX_MODEL_CHARS = 100;
const MAX_URL_CHARS = 4096; // the address policy says what a URL may be

/** A tag reaches the visibility store's query as a literal: no quotes, no spaces. */
export const tagSchema = z
  .string()
  .regex(/^[\w.:@/-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ . : @ / -');

/** What a receiver wants to be told of; all of it unless it says so. */
const eventsOf = <Event extends RecordEvent>(all: readonly [Event, ...Event[]]) =>
  z
    .array(z.enum(all))
    .min(1)
    .transform((events) => all.filter((event) => (events as readonly Event[]).includes(event)))
    .default([...all]);

/** The events of an endpoint. */
export const eventsSchema = eventsOf(EVENTS);

export const urlSchema = z.string().max(MAX_URL_CHARS);

/** A duration or a time, which times.ts reads. */
export const durationSchema = z.string().max(MAX_TIME_CHARS);

/** A URL alone means all events. */
const webhookSchema = <Event extends RecordEvent>(all: readonly [Event, ...Event[]]) =>
  z
    .union([
      urlSchema.transform((url) => ({ url, events: [...all] })),
      z.strictObject({ url: urlSchema, events: eventsOf(all) }),
    ])
    .nullable()
    .default(null);

/** Priority 1 comes first. */
export const prioritySchema = z.int().min(1).max(5);

/** `POST /v1/models/{model}/predictions` */
export const modelRequestSchema = z.strictObject({
  input: z
    .unknown()
    .refine((input) => input !== undefined, 'is missing')
    .meta({ description: 'What the model takes: see its `input_schema`.' }),
  options: z.record(z.string(), z.unknown()).default({}),
  webhook: webhookSchema(PREDICTION_EVENTS),
  metadata: z
    .record(z.string(), z.string())
    .refine(
      (metadata) => jsonBytes(metadata) <= MAX_METADATA_BYTES,
      `must be at most ${MAX_METADATA_BYTES} bytes of JSON`,
    )
    .default({}),
  tags: z
    .array(tagSchema)
    .max(MAX_TAGS)
    .transform((tags) => [...new Set(tags)])
    .default([]),
  priority: prioritySchema.default(DEFAULT_PRIORITY),
  // What these may be depends on the model and the settings: see times.ts.
  start_after: durationSchema.exactOptional(),
  queue_ttl: durationSchema.exactOptional(),
  run_timeout: durationSchema.exactOptional(),
  deadline: durationSchema.exactOptional(),
});

/** What a batch is asked with beside its items; a batch waits behind everything else unless it says so. */
export const batchTermsSchema = modelRequestSchema.omit({ input: true }).extend({
  webhook: webhookSchema(BATCH_EVENTS),
  priority: prioritySchema.default(BATCH_PRIORITY),
});

const MAX_JSON_ITEMS = 10_000;

/** `POST /v1/batches` as JSON. The items themselves are checked one by one, like the lines of JSON Lines. */
export const batchRequestSchema = batchTermsSchema
  .extend({
    model: z.string().max(MAX_MODEL_CHARS),
    items: z
      .array(z.unknown().meta({ description: '`{"custom_id": …, "input": …}`' }))
      .min(1)
      .max(MAX_JSON_ITEMS, `must be at most ${MAX_JSON_ITEMS}: send more as JSON Lines`)
      .exactOptional(),
    input_file_id: z
      .string()
      .regex(FILE_ID, 'must be the id of a file')
      .exactOptional()
      .meta({ description: 'A file of JSON Lines, instead of `items`.' }),
  })
  .refine(
    ({ items, input_file_id: file }) => (items === undefined) !== (file === undefined),
    'must have items or an input_file_id, and not both',
  );

/** `PATCH /v1/predictions/{id}`: what a prediction that waits may be given anew. */
export const predictionChangesSchema = z
  .strictObject({
    priority: prioritySchema.exactOptional(),
    queue_ttl: durationSchema.exactOptional(),
    deadline: durationSchema.exactOptional(),
  })
  .refine(
    (changes) => Object.keys(changes).length > 0,
    'must have a priority, queue_ttl or deadline',
  );

/** `POST /v1/predictions` */
export const requestSchema = modelRequestSchema.extend({
  model: z.string().max(MAX_MODEL_CHARS),
});

/** The `request` query parameter beside a raw body: everything but the media field. */
export const restSchema = modelRequestSchema.extend({ input: z.unknown().default({}) });

export type PredictionChanges = z.infer<typeof predictionChangesSchema>;
/** Everything of a request but its model and its input. */
export type OrderTerms = Omit<z.infer<typeof modelRequestSchema>, 'input' | 'webhook'> & {
  readonly webhook: RequestedWebhook | null;
};
export type ModelRequest = OrderTerms & { readonly input: unknown };
