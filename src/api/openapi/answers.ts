/* The shapes of what the API answers, for its OpenAPI document. (What it takes: ../schemas.ts.) */
import { z } from 'zod';
import type { Batch } from '../../contract/batch.ts';
import { FAILURES, type FailureCode } from '../../contract/failure.ts';
import { type HistoryEntry, HISTORY_EVENTS } from '../../contract/history.ts';
import { type Prediction, QUEUE_REASONS } from '../../contract/prediction.ts';
import { EVENTS } from '../../contract/receivers.ts';
import { DELIVERY_ERRORS, DELIVERY_REASONS, type DeliveryState } from '../../contract/webhook.ts';
import { prioritySchema } from '../../submission/request-schema.ts';

/**
 * Every member that a record has in any of its states. A shape here `satisfies` it, so that a record
 * which changes in the contract does not compile until its documentation has changed too.
 */
type Members<T> = {
  readonly [K in T extends unknown ? keyof T : never]: T extends Readonly<Record<K, infer V>>
    ? V
    : never;
};

const time = z.iso.datetime();
const whole = z.int().min(0);
const json = z.any(); // any JSON value
export const jsonObject = z.record(z.string(), json);

/** A list of these: every list looks like it. */
export const pageOf = (element: z.ZodType) =>
  z.strictObject({
    object: z.literal('list'),
    data: z.array(element),
    has_more: z.boolean(),
    next_cursor: z.string().nullable(),
  });

const predictionError = z.strictObject({
  code: z.enum(Object.keys(FAILURES) as [FailureCode, ...FailureCode[]]),
  message: z.string(),
  retryable: z.boolean().describe('The same input may succeed as a new prediction.'),
  attempt: whole,
  reason: z
    .string()
    .nullable()
    .describe('What is wrong with the input, in one word for programs; null: it has none.'),
});

const status = z.enum([
  'queued',
  'processing',
  'canceling',
  'succeeded',
  'failed',
  'canceled',
  'aborted',
]);
const queue = z
  .strictObject({ depth: whole.nullable(), reason: z.enum(QUEUE_REASONS).nullable() })
  .nullable();
const completed_at = time.nullable().describe('Not null: the record is final.');

/** What predictions and batches have in common. */
const requestMembers = {
  id: z.string(),
  model: z.string(),
  version: z.int().min(1),
  options: jsonObject,
  metadata: z.record(z.string(), z.string()),
  tags: z.array(z.string()),
  priority: prioritySchema,
  webhook: z.strictObject({ url: z.string(), events: z.array(z.enum(EVENTS)) }).nullable(),
  retry_of: z.string().nullable(),
  start_after: time.nullable(),
  queue_ttl: z.string(),
  run_timeout: z.string(),
  deadline: z.string(),
  created_at: time,
  deadline_at: time,
  urls: z.strictObject({
    get: z.string(),
    output: z.string(),
    cancel: z.string(),
    events: z.string(),
    history: z.string(),
    retry: z.string(),
    webhook: z.string(),
  }),
};

export const predictionAnswer = z
  .strictObject({
    ...requestMembers,
    object: z.literal('prediction'),
    status,
    input: jsonObject.describe('Small values as sent; media and larger values as references.'),
    output: json.describe('Null unless succeeded, and when output_url leads to it.'),
    output_url: z.string().nullable(),
    partial_output: z
      .union([
        z.strictObject({
          attempt: whole.describe('The attempt that told it.'),
          offset: whole.describe('Where `text` begins in the whole text, in UTF-16 code units.'),
          text: z.string(),
        }),
        z.strictObject({
          attempt: whole.describe('The attempt that told it.'),
          pages_done: whole,
          url: z.string().describe('The pages that are done, as JSON Lines.'),
        }),
        z.strictObject({
          attempt: whole.describe('The attempt that told it.'),
          image: whole.describe('Which image of the output it shows, from 0.'),
          step: whole.describe('After how many of its steps.'),
          url: z.string().describe('The preview itself: an image.'),
        }),
      ])
      .nullable()
      .describe(
        'The text so far of a model that writes it bit by bit, or where the pages of a document are that are done, or a preview of an image; null once there is an output.',
      ),
    error: predictionError.nullable(),
    attempt: whole.describe('The latest; 0 before the first.'),
    progress: z
      .strictObject({ fraction: z.number().min(0).max(1), message: z.string() })
      .nullable(),
    queue,
    metrics: z
      .strictObject({
        queue_ms: z.number().describe('From acceptance to the start of the attempt.'),
        load_ms: z.number().nullable().describe('Waited for the model to be loaded; null: it was.'),
        wait_ms: z.number().describe('In the worker, before and after the run.'),
        inference_ms: z.number(),
        total_ms: z.number().describe('The sum of these.'),
        batch_size: z.int().min(1),
        device: z.string(),
        worker: z.string(),
        tokens: z
          .strictObject({
            prompt: whole,
            completion: whole,
            per_second: z.number().nullable().describe('Null: fewer than two were written.'),
          })
          .nullable()
          .describe('Null: the model counts none.'),
      })
      .nullable(),
    started_at: time.nullable(),
    completed_at,
    expires_at: time.nullable(),
  })
  .meta({ id: 'Prediction' }) satisfies z.ZodType<Members<Prediction>>;

export const batchAnswer = z
  .strictObject({
    ...requestMembers,
    object: z.literal('batch'),
    status,
    request_counts: z.strictObject({
      total: whole,
      succeeded: whole,
      failed: whole,
      canceled: whole.describe('Not done when the batch ended.'),
    }),
    progress: z
      .strictObject({
        fraction: z.number().min(0).max(1),
        message: z.string(),
        items_per_s: z.number().nullable(),
        eta_s: whole.nullable(),
      })
      .nullable(),
    queue,
    output_url: z.string().nullable(),
    output_bytes: whole.nullable(),
    error: predictionError.omit({ attempt: true }).nullable(),
    started_at: time.nullable(),
    completed_at,
    expires_at: time.nullable(),
  })
  .meta({ id: 'Batch' }) satisfies z.ZodType<Batch>;

/** RFC 9457. */
export const problemAnswer = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string(),
    errors: z
      .array(z.strictObject({ pointer: z.string(), detail: z.string() }))
      .optional()
      .describe('Each thing wrong, with a JSON pointer into the body.'),
    prediction_id: z.string().optional(),
    batch_id: z.string().optional(),
    request_id: z.string(),
  })
  .meta({ id: 'Problem' });

export const historyAnswer = pageOf(
  z
    .strictObject({
      at: time.nullable(),
      event: z.enum(HISTORY_EVENTS),
      attempt: whole.nullable(),
      worker: z.string().nullable(),
      error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
    })
    .meta({ id: 'HistoryEntry' }) satisfies z.ZodType<HistoryEntry>,
);

const deliveryError = z.strictObject({ code: z.enum(DELIVERY_ERRORS), message: z.string() });

export const deliveryAnswer = z
  .strictObject({
    id: z.string(),
    object: z.literal('webhook_delivery'),
    event: z.strictObject({ id: z.string(), type: z.enum([...EVENTS, 'ping']) }),
    prediction: z.string().nullable(),
    batch: z.string().nullable(),
    endpoint: z.string().nullable(),
    status: z.enum(['pending', 'delivered', 'failed', 'gone']),
    reason: z.enum(DELIVERY_REASONS).nullable(),
    attempts: z.array(
      z.strictObject({
        number: z.int().min(1),
        at: time,
        origin: z.string().nullable(),
        status: z.int().nullable(),
        error: deliveryError.nullable(),
        duration_ms: z.number(),
        answer: z.string().nullable(),
      }),
    ),
    next_attempt_at: time.nullable(),
    created_at: time,
  })
  .meta({ id: 'WebhookDelivery' }) satisfies z.ZodType<DeliveryState>;

export const redeliveryAnswer = z.strictObject({
  object: z.literal('redelivery'),
  redelivered: whole,
  has_more: z.boolean(),
});

export const endpointAnswer = z
  .strictObject({
    object: z.literal('webhook_endpoint'),
    id: z.string(),
    url: z.string(),
    events: z.array(z.enum(EVENTS)),
    description: z.string(),
    enabled: z.boolean(),
    created_at: time,
    updated_at: time,
    urls: z.strictObject({ get: z.string(), deliveries: z.string(), test: z.string() }),
  })
  .meta({ id: 'WebhookEndpoint' });

export const secretAnswer = z
  .strictObject({
    object: z.literal('webhook_secret'),
    secret: z.string(),
    created_at: time,
    previous: z.array(z.strictObject({ secret: z.string(), expires_at: time.nullable() })),
  })
  .meta({ id: 'WebhookSecret' });

export const indexAnswer = z.strictObject({
  name: z.literal('buzzer'),
  urls: z.record(z.string(), z.string()),
});
export const healthAnswer = z.strictObject({ status: z.literal('ok') });
export const readinessAnswer = z.strictObject({
  status: z.enum(['ready', 'not_ready']),
  checks: z.strictObject({ engine: z.string(), storage: z.string() }),
});

const tensorAnswer = z.looseObject({
  name: z.string(),
  datatype: z.string(),
  shape: z.array(z.int()),
});

/** The Open Inference Protocol's own. */
export const v2Answers = {
  server: z.strictObject({
    name: z.string(),
    version: z.string(),
    extensions: z.array(z.string()),
  }),
  live: z.strictObject({ live: z.boolean() }),
  ready: z.strictObject({ ready: z.boolean() }),
  modelReady: z.strictObject({ name: z.string(), ready: z.boolean() }),
  model: z.looseObject({
    name: z.string(),
    versions: z.array(z.string()),
    platform: z.string(),
    inputs: z.array(tensorAnswer),
    outputs: z.array(tensorAnswer),
  }),
  index: z.array(
    z.strictObject({
      name: z.string(),
      version: z.string(),
      state: z.string(),
      reason: z.string(),
    }),
  ),
  infer: z.looseObject({
    model_name: z.string(),
    model_version: z.string(),
    id: z.string(),
    outputs: z.array(tensorAnswer),
  }),
};

/** What a receiver is sent: https://www.standardwebhooks.com */
export const webhookMessage = z.strictObject({
  type: z.enum(EVENTS),
  timestamp: time,
  data: z
    .looseObject({ id: z.string(), status: z.string() })
    .describe('The record; when it is too large, its id, status and urls.'),
});
