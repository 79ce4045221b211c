/* What a request may hold, before its model's pipeline has its say. */
import { z } from 'zod';
import { DAY_MS, parseDurationMs } from '../contract/duration.ts';
import { jsonBytes } from '../contract/payload.ts';
import { DEFAULT_PRIORITY } from '../contract/prediction.ts';
import { PREDICTION_EVENTS } from '../contract/webhook.ts';
import { invalidAt, Problem, type ProblemDetail } from './problems.ts';

const MAX_METADATA_BYTES = 4096; // a memo holds it
const MAX_TAGS = 16;
/** Of an object that holds what a request, its input, its options or its metadata are. */
const MAX_MEMBERS = 1000;
/** A problem names this many places at most: the first say what is wrong. */
const MAX_ERRORS = 20;

/** A tag reaches the visibility store's query as a literal: no quotes, no spaces. */
const tagSchema = z
  .string()
  .regex(/^[\w.:@/-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ . : @ / -');

/** A time that Temporal's queries can hold. */
const timeSchema = z.iso
  .datetime({ offset: true })
  .refine(
    (text) => /^2\d{3}-/.test(new Date(text).toJSON() ?? ''),
    'must be of the years 2000 to 2999',
  );

/** What a receiver wants to be told of; all of it unless it says so. */
const eventsSchema = z
  .array(z.enum(PREDICTION_EVENTS))
  .min(1)
  .transform((events) => PREDICTION_EVENTS.filter((event) => events.includes(event)))
  .default([...PREDICTION_EVENTS]);

/** A URL alone means all events. */
const webhookSchema = z.union([
  z.string().transform((url) => ({ url, events: [...PREDICTION_EVENTS] })),
  z.strictObject({ url: z.string(), events: eventsSchema }),
]);

/** 1 is first. */
export const prioritySchema = z.int().min(1).max(5);

/** `POST /v1/models/{model}/predictions` */
export const modelRequestSchema = z.strictObject({
  input: z.record(z.string(), z.unknown()),
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
  // What these may be depends on the model and the settings: terms.ts.
  start_after: z.string().exactOptional(),
  queue_ttl: z.string().exactOptional(),
  run_timeout: z.string().exactOptional(),
  deadline: z.string().exactOptional(),
});

/** `PATCH /v1/predictions/{id}`: what a prediction that waits may be given anew. */
export const predictionChangesSchema = z
  .strictObject({
    priority: prioritySchema.exactOptional(),
    queue_ttl: z.string().exactOptional(),
    deadline: z.string().exactOptional(),
  })
  .refine(
    (changes) => Object.keys(changes).length > 0,
    'must have a priority, queue_ttl or deadline',
  );

/** `POST /v1/webhook_endpoints` */
export const endpointSchema = z.strictObject({
  url: z.string(),
  events: eventsSchema,
  description: z.string().max(500).default(''),
  enabled: z.boolean().default(true),
});

/** `PATCH /v1/webhook_endpoints/{id}` */
export const endpointChangesSchema = z.strictObject({
  url: z.string().exactOptional(),
  events: eventsSchema.unwrap().exactOptional(),
  description: z.string().max(500).exactOptional(),
  enabled: z.boolean().exactOptional(),
});

/** `GET /v1/webhook_endpoints/{id}/deliveries` */
export const pageQuerySchema = z.strictObject({
  cursor: z.base64url().optional(),
  limit: z
    .string()
    .regex(/^(?:[1-9]\d?|100)$/, 'must be 1 to 100')
    .default('20')
    .transform(Number),
});

/** Where a query can only be a mistake. */
export const noQuerySchema = z.strictObject({});

/** `POST /v1/webhook_secret/rotate`: how long the secrets before the new one stay valid. */
export const rotateSchema = z.strictObject({
  overlap: z
    .string()
    .default('24h')
    .transform((text, context) => {
      const overlapMs = parseDurationMs(text);
      if (overlapMs !== null && overlapMs <= DAY_MS) return overlapMs;
      context.addIssue('must be a duration such as 0s or 1h, at most 24h');
      return z.NEVER;
    }),
});

/** `POST /v1/predictions/{id}/webhook/redeliver` */
export const redeliverSchema = z.strictObject({ endpoint: z.string().exactOptional() });

/** `POST /v1/webhook_endpoints/{id}/redeliver` */
export const redeliverSinceSchema = z.strictObject({ since: timeSchema });

/** `POST /v1/predictions` */
export const requestSchema = modelRequestSchema.extend({ model: z.string() });

/** The `request` query parameter beside a raw body: everything but the media field. */
export const restSchema = modelRequestSchema.partial({ input: true });

export type PredictionChanges = z.infer<typeof predictionChangesSchema>;
export type ModelRequest = z.infer<typeof modelRequestSchema>;

/** `GET /v1/predictions` */
export const listQuerySchema = pageQuerySchema.extend({
  status: z.enum(['active', 'succeeded', 'failed', 'canceled', 'aborted']).optional(),
  model: z.string().optional(),
  tag: tagSchema.optional(),
  created_after: timeSchema.optional(),
  created_before: timeSchema.optional(),
});

/** `?wait=` of `GET /v1/predictions/{id}`, in seconds. */
export const waitQuerySchema = z.strictObject({
  wait: z
    .string()
    .regex(/^(?:\d{1,2}(?:\.\d{1,3})?)?$/, 'must be a number of seconds, 0 to 60')
    .transform((text) => (text === '' ? 60 : Number(text)))
    .refine((seconds) => seconds <= 60, 'must be at most 60 seconds')
    .optional(),
});

/** Parses well-formed JSON; what does not fit is a 422 that names every place. */
export function parseBody<T>(schema: z.ZodType<T>, value: unknown, at: readonly string[] = []): T {
  refuseCrowd(value, at);
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { issues } = parsed.error;
  const errors = issues.slice(0, MAX_ERRORS).flatMap((issue) => detailsOf(issue, at));
  const where = errors.map(({ pointer, detail }) => `${pointer || '(body)'}: ${detail}`);
  throw new Problem('invalid_input', where.slice(0, 3).join('; '), { errors });
}

/** Counted before anything looks at them: a million members would take seconds of everybody's time. */
function refuseCrowd(value: unknown, at: readonly string[], depth = 0): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
  const names = Object.keys(value);
  if (names.length > MAX_MEMBERS) {
    throw invalidAt(toPointer(at), `must have at most ${MAX_MEMBERS} members`);
  }
  if (names.includes('__proto__')) {
    throw invalidAt(toPointer([...at, '__proto__']), 'is not known here');
  }
  if (depth > 0) return;
  for (const name of names) {
    refuseCrowd((value as Record<string, unknown>)[name], [...at, name], depth + 1);
  }
}

/** Parses a query string; what does not fit is a 400. */
export function parseQuery<T>(schema: z.ZodType<T>, query: unknown): T {
  const parsed = schema.safeParse(query);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new Problem('malformed_request', `query: ${where.join('; ')}`);
}

function detailsOf(issue: z.core.$ZodIssue, at: readonly string[]): ProblemDetail[] {
  const path = [...at, ...issue.path.map(String)];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.slice(0, MAX_ERRORS).map((key) => ({
      pointer: toPointer([...path, key]),
      detail: 'is not known here',
    }));
  }
  if (issue.code === 'invalid_union') {
    // What is wrong within the alternative that was meant: the one whose kind of value it is.
    const meant = issue.errors.find((each) => each.every(({ path: at }) => at.length > 0));
    if (meant !== undefined) return meant.flatMap((each) => detailsOf(each, path));
  }
  return [{ pointer: toPointer(path), detail: issue.message }];
}

/** RFC 6901. */
const toPointer = (path: readonly string[]): string =>
  path.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
