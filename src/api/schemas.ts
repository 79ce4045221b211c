/* What a request may hold, before its model's pipeline has its say. */
import { z } from 'zod';
import { DAY_MS, parseDurationMs } from '../contract/duration.ts';
import { ENDPOINT_ID } from '../contract/ids.ts';
import { jsonBytes } from '../contract/payload.ts';
import { DEFAULT_PRIORITY } from '../contract/prediction.ts';
import { PREDICTION_EVENTS } from '../contract/receivers.ts';
import { INCLUDABLE, type Included } from './shown-record.ts';
import { invalidAt, MAX_ERRORS, Problem, type ProblemDetail, toPointer } from './problems.ts';

const MAX_METADATA_BYTES = 4096; // a memo holds it
const MAX_TAGS = 16;
/** Of an object that holds what a request, its input, its options or its metadata are. */
const MAX_MEMBERS = 1000;
/** A duration or a time, written out. */
const MAX_TIME_CHARS = 64;
const MAX_MODEL_CHARS = 100;
const MAX_CURSOR_CHARS = 4096;
const MAX_URL_CHARS = 4096; // the address policy says what a URL may be

/** A tag reaches the visibility store's query as a literal: no quotes, no spaces. */
const tagSchema = z
  .string()
  .regex(/^[\w.:@/-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ . : @ / -');

/** A time that Temporal's queries can hold. */
const timeSchema = z.iso
  .datetime({ offset: true })
  .max(MAX_TIME_CHARS)
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

const urlSchema = z.string().max(MAX_URL_CHARS);

/** A duration, or a time: terms.ts reads it. */
const durationSchema = z.string().max(MAX_TIME_CHARS);

/** A URL alone means all events. */
const webhookSchema = z.union([
  urlSchema.transform((url) => ({ url, events: [...PREDICTION_EVENTS] })),
  z.strictObject({ url: urlSchema, events: eventsSchema }),
]);

/** 1 is first. */
export const prioritySchema = z.int().min(1).max(5);

/** `POST /v1/models/{model}/predictions` */
export const modelRequestSchema = z.strictObject({
  input: z
    .unknown()
    .refine((input) => input !== undefined, 'is missing')
    .meta({ type: 'object', description: 'What the model takes: see its `input_schema`.' }),
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
  limit: z
    .string()
    .regex(/^(?:[1-9]\d?|100)$/, 'must be 1 to 100')
    .default('20')
    .transform(Number)
    .describe('How many, 1 to 100.'),
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

/** `POST /v1/predictions` */
export const requestSchema = modelRequestSchema.extend({
  model: z.string().max(MAX_MODEL_CHARS),
});

/** The `request` query parameter beside a raw body: everything but the media field. */
export const restSchema = modelRequestSchema.extend({ input: z.unknown().default({}) });

export type PredictionChanges = z.infer<typeof predictionChangesSchema>;
export type ModelRequest = Omit<z.infer<typeof modelRequestSchema>, 'input'> & {
  readonly input: unknown;
};
/** The same with its input in the one form that its model's schema describes. */
export type NormalRequest = Omit<ModelRequest, 'input'> & {
  readonly input: Readonly<Record<string, unknown>>;
};

/** `?include=input,output`: what is wanted whole; nothing: none of it. */
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

/** `GET /v1/predictions` */
export const listQuerySchema = pageQuerySchema.extend({
  include: includeSchema,
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

/** Where values may be large: what checks them measures them itself before it looks at each element. */
export type IsLarge = (path: readonly string[]) => boolean;
const NOWHERE: IsLarge = () => false;
/** What a prediction's input may hold, its model's pipeline says. */
export const INPUT: IsLarge = ([first]) => first === 'input';

/**
 * Parses well-formed JSON; what does not fit is a 422 that names the first places. Everything outside
 * `isLarge` is counted first: a million wrong elements would each become an issue.
 */
export function parseBody<T>(
  schema: z.ZodType<T>,
  value: unknown,
  at: readonly string[] = [],
  isLarge: IsLarge = NOWHERE,
): T {
  refuseCrowd(value, at, isLarge);
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors: ProblemDetail[] = [];
  for (const issue of parsed.error.issues) {
    if (errors.length >= MAX_ERRORS) break;
    collect(issue, at, errors);
  }
  const where = errors.map(({ pointer, detail }) => `${pointer || '(body)'}: ${detail}`);
  throw new Problem('invalid_input', where.slice(0, 3).join('; '), { errors });
}

/** Counted before anything looks at them: a million members would take seconds of everybody's time. */
function refuseCrowd(value: unknown, at: readonly string[], isLarge: IsLarge): void {
  if (typeof value !== 'object' || value === null || isLarge(at)) return;
  const isArray = Array.isArray(value);
  const names = isArray && value.length > MAX_MEMBERS ? [] : Object.keys(value);
  const count = isArray ? value.length : names.length;
  if (count > MAX_MEMBERS) {
    const what = isArray ? 'elements' : 'members';
    throw invalidAt(toPointer(at), `must have at most ${MAX_MEMBERS} ${what}`);
  }
  if (!isArray && names.includes('__proto__')) {
    throw invalidAt(toPointer([...at, '__proto__']), 'is not known here');
  }
  for (const name of names) {
    refuseCrowd((value as Record<string, unknown>)[name], [...at, name], isLarge);
  }
}

/** Parses a query string; what does not fit is a 400. */
export function parseQuery<T>(schema: z.ZodType<T>, query: unknown): T {
  const parsed = schema.safeParse(query);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.slice(0, MAX_ERRORS).map((issue) => {
    const [name] = issue.path;
    return name === undefined ? plainMessage(issue) : `${String(name)} ${plainMessage(issue)}`;
  });
  throw new Problem('malformed_request', `in the query, ${where.join('; ')}`);
}

/** Adds what an issue says to `errors`, as long as there is room. */
function collect(issue: z.core.$ZodIssue, at: readonly string[], errors: ProblemDetail[]): void {
  const path = [...at, ...issue.path.map(String)];
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys.slice(0, MAX_ERRORS - errors.length)) {
      errors.push({ pointer: toPointer([...path, key]), detail: 'is not known here' });
    }
    return;
  }
  if (issue.code === 'invalid_union') {
    // What is wrong within the alternative that was meant: the one whose kind of value it is.
    const meant = issue.errors.find((each) => each.every(({ path: within }) => within.length > 0));
    for (const each of meant ?? []) {
      if (errors.length < MAX_ERRORS) collect(each, path, errors);
    }
    if (meant !== undefined) return;
  }
  errors.push({ pointer: toPointer(path), detail: plainMessage(issue) });
}

/** What is wrong, without the words of the library that found it. */
function plainMessage(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') {
    return `${issue.keys.slice(0, MAX_ERRORS).join(', ')} is not known here`;
  }
  const message = issue.message.replace(
    /^(?:Invalid input|Invalid option|Too big|Too small): /,
    '',
  );
  if (issue.code === 'invalid_type' && message.endsWith('received undefined')) return 'is missing';
  return message.replace(/^expected /, 'must be ');
}
