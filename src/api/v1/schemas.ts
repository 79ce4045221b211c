/* What the queries and bodies of /v1 may hold, beside the request for a prediction. */
import { z } from 'zod';
import { DAY_MS, parseDurationMs } from '../../contract/duration.ts';
import { ENDPOINT_ID, FILE_ID } from '../../contract/ids.ts';
import { INCLUDABLE, type Included } from '../../records/shown-record.ts';
import { MAX_FILENAME_CHARS, PRINTABLE } from '../http/file-labels.ts';
import {
  durationSchema,
  eventsSchema,
  MAX_MODEL_CHARS,
  MAX_TIME_CHARS,
  tagSchema,
  urlSchema,
} from '../../submission/request-schema.ts';

const MAX_CURSOR_CHARS = 4096;

const limitSchema = z
  .string()
  .regex(/^(?:[1-9]\d?|100)$/, 'must be 1 to 100')
  .default('20')
  .transform(Number)
  .describe('How many, 1 to 100.');

/** A time that Temporal's queries can hold. */
const timeSchema = z.iso
  .datetime({
    offset: true,
    error: 'must be a time such as 2026-01-31T12:00:00Z',
    abort: true,
  })
  .max(MAX_TIME_CHARS)
  .refine(
    (text) => /^2\d{3}-/.test(new Date(text).toJSON() ?? ''),
    'must be of the years 2000 to 2999',
  );

/** `true` or `false` in a query. */
const flagSchema = z
  .enum(['true', 'false'])
  .default('false')
  .transform((text) => text === 'true');

const MAX_FILE_TTL_MS = 365 * DAY_MS;

/** `POST /v1/files` */
export const fileQuerySchema = z.strictObject({
  filename: z
    .string()
    .min(1)
    .max(MAX_FILENAME_CHARS)
    .regex(PRINTABLE, 'must have no control characters')
    .optional()
    .describe('Its name, for people; that in the form otherwise.'),
  expires_after: durationSchema
    .transform((text, context) => {
      const ttlMs = parseDurationMs(text);
      if (ttlMs !== null && ttlMs > 0 && ttlMs <= MAX_FILE_TTL_MS) return ttlMs;
      context.addIssue('must be a duration such as 24h or 7d, at most 365d');
      return z.NEVER;
    })
    .optional()
    .describe('How long it is kept, such as `24h`.'),
  parts: flagSchema.describe('`true`: its bytes come later, in parts.'),
  presigned: flagSchema.describe(
    '`true`: its bytes are put into the bucket itself, at `upload.url`.',
  ),
  bytes: z
    .string()
    .regex(/^[1-9]\d{0,14}$/, 'must be a number of bytes')
    .transform(Number)
    .optional()
    .describe('How many bytes are going to be put there.'),
});

/** `GET /v1/predictions/{id}/partial_output` */
export const partialQuerySchema = z.strictObject({
  after: z
    .string()
    .regex(/^\d{1,7}$/, 'must be a number of pages')
    .transform(Number)
    .optional()
    .describe('So many pages have been read: only those behind them are wanted.'),
});

/** `GET /v1/files` */
export const fileListQuerySchema = z.strictObject({
  after: z
    .string()
    .regex(FILE_ID, 'must be the id of a file')
    .optional()
    .describe('`next_cursor` of the page before.'),
  limit: limitSchema,
});

/** `POST /v1/webhook_endpoints` */
export const endpointSchema = z.strictObject({
  url: urlSchema,
  events: eventsSchema,
  description: z.string().max(500).default(''),
  enabled: z.boolean().default(true),
});

/** `PATCH /v1/webhook_endpoints/{id}` */
export const endpointChangesSchema = z.strictObject({
  url: urlSchema.exactOptional(),
  events: eventsSchema.unwrap().exactOptional(),
  description: z.string().max(500).exactOptional(),
  enabled: z.boolean().exactOptional(),
});

/** `GET /v1/webhook_endpoints/{id}/deliveries` */
export const pageQuerySchema = z.strictObject({
  cursor: z
    .base64url()
    .max(MAX_CURSOR_CHARS)
    .optional()
    .describe('`next_cursor` of the page before, with the same filters.'),
  limit: limitSchema,
});

/** `POST /v1/webhook_secret/rotate`: how long the secrets before the new one stay valid. */
export const rotateSchema = z.strictObject({
  overlap: durationSchema.default('24h').transform((text, context) => {
    const overlapMs = parseDurationMs(text);
    if (overlapMs !== null && overlapMs <= DAY_MS) return overlapMs;
    context.addIssue('must be a duration such as 0s or 1h, at most 24h');
    return z.NEVER;
  }),
});

/** `POST /v1/predictions/{id}/webhook/redeliver` */
export const redeliverSchema = z.strictObject({
  endpoint: z.string().regex(ENDPOINT_ID, 'must be the id of an endpoint').exactOptional(),
});

/** `POST /v1/webhook_endpoints/{id}/redeliver` */
export const redeliverSinceSchema = z.strictObject({ since: timeSchema });

/** `?include=input,output`: the members whose large values are wanted; none by default. */
const includeSchema = z
  .string()
  .max(MAX_TIME_CHARS)
  .default('')
  .transform((text, context): Included => {
    const names = text === '' ? [] : text.split(',');
    const known = INCLUDABLE.filter((name) => names.includes(name));
    if (names.every((name) => known.some((each) => each === name))) return known;
    context.addIssue(`must be one or both of ${INCLUDABLE.join(',')}`);
    return z.NEVER;
  })
  .describe('`input`, `output` or both: whole, where larger values are references otherwise.');

/** `GET /v1/predictions/{id}/events` */
export const eventsQuerySchema = z.strictObject({ include: includeSchema });

/** What can be listed by: a record that has not ended is `active`, whatever it says in detail. */
const STATUSES = ['active', 'succeeded', 'failed', 'canceled', 'aborted'] as const;
const ACTIVE_STATUSES = ['queued', 'processing', 'canceling'];

/** `GET /v1/batches` */
export const batchListQuerySchema = pageQuerySchema.extend({
  status: z
    .enum(STATUSES, {
      error: ({ input }) =>
        ACTIVE_STATUSES.includes(String(input))
          ? `cannot be told apart in a list: active has what is ${ACTIVE_STATUSES.join(', ')}`
          : `must be one of ${STATUSES.join(', ')}`,
    })
    .optional()
    .describe('`active` has what is queued, processing or canceling.'),
  model: z.string().max(MAX_MODEL_CHARS).optional().describe('`ocr`, or a version: `ocr@1`.'),
  tag: tagSchema.optional().describe('Only what has this tag.'),
  created_after: timeSchema.optional().describe('RFC 3339.'),
  created_before: timeSchema.optional().describe('RFC 3339.'),
});

/** `GET /v1/predictions` */
export const listQuerySchema = batchListQuerySchema.extend({ include: includeSchema });

/** `POST /v1/batches` with JSON Lines: the model, and the rest as JSON. */
export const batchQuerySchema = z.strictObject({
  model: z.string().max(MAX_MODEL_CHARS).optional(),
  request: z.string().optional(),
});

/** `?wait=` of a prediction that is read or submitted, in seconds. */
export const waitQuerySchema = z.strictObject({
  wait: z
    .string()
    .regex(/^(?:\d{1,2}(?:\.\d{1,3})?)?$/, 'must be a number of seconds, 0 to 60')
    .transform((text) => (text === '' ? 60 : Number(text)))
    .refine((seconds) => seconds <= 60, 'must be at most 60 seconds')
    .optional(),
});

/** The query of `POST /v1/models/{model}/predictions`; `request`: the JSON beside a raw body. */
export const submitQuerySchema = waitQuerySchema.extend({ request: z.string().optional() });
