/* What a request for a prediction may hold, before its model's pipeline has its say. */
import { z } from 'zod';
import { jsonBytes } from '../contract/payload.ts';
import { DEFAULT_PRIORITY } from '../contract/prediction.ts';
import { PREDICTION_EVENTS } from '../contract/receivers.ts';

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
export const eventsSchema = z
  .array(z.enum(PREDICTION_EVENTS))
  .min(1)
  .transform((events) => PREDICTION_EVENTS.filter((event) => events.includes(event)))
  .default([...PREDICTION_EVENTS]);

export const urlSchema = z.string().max(MAX_URL_CHARS);

/** A duration or a time, which times.ts reads. */
export const durationSchema = z.string().max(MAX_TIME_CHARS);

/** A URL alone means all events. */
const webhookSchema = z.union([
  urlSchema.transform((url) => ({ url, events: [...PREDICTION_EVENTS] })),
  z.strictObject({ url: urlSchema, events: eventsSchema }),
]);

/** Priority 1 comes first. */
export const prioritySchema = z.int().min(1).max(5);

/** `POST /v1/models/{model}/predictions` */
export const modelRequestSchema = z.strictObject({
  input: z
    .unknown()
    .refine((input) => input !== undefined, 'is missing')
    .meta({ description: 'What the model takes: see its `input_schema`.' }),
  options: z.record(z.string(), z.unknown()).default({}),
  webhook: webhookSchema.nullable().default(null),
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
export type OrderTerms = Omit<z.infer<typeof modelRequestSchema>, 'input'>;
export type ModelRequest = OrderTerms & { readonly input: unknown };
