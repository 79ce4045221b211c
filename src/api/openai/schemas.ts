/*
 * What OpenAI's clients send, as far as it can be done here. What cannot is refused with the name of the parameter.
 * docs/openai.md lists the few that are taken and change nothing. Null means absent, as it does there.
 */
import { z } from 'zod';
import { OPENAI_ENDPOINTS } from '../../contract/batch.ts';
import { BATCH_ID, FILE_ID } from '../../contract/ids.ts';
import { MAX_NEW_TOKENS } from '../../pipelines/index.ts';
import { durationSchema, MAX_MODEL_CHARS } from '../../submission/request-schema.ts';

const MAX_TEXT_CHARS = 1_000_000;
const MAX_STOPS = 4;
const MAX_USER_CHARS = 512;

const NOT_HERE = 'is not supported here';
const unless = (value: unknown) => `${NOT_HERE}, unless it is ${JSON.stringify(value)}`;
/** A parameter that may only have the value that changes nothing. */
const only = <T extends string | number | boolean>(value: T) => z.literal(value, unless(value));
const none = z.never(NOT_HERE);
const empty = z.array(z.unknown()).max(0, NOT_HERE);

const text = z.string().max(MAX_TEXT_CHARS);
const prompt = text.min(1, 'must not be empty');
const model = z.string().max(MAX_MODEL_CHARS);
const user = z.string().max(MAX_USER_CHARS);
const count = z.int().min(1).max(MAX_NEW_TOKENS);
const temperature = z.number().min(0).max(2);
const topP = z.number().min(0).max(1);
const metadata = z.record(z.string().max(64), z.string().max(512));
const stop = z.union([z.string().min(1), z.array(z.string().min(1)).max(MAX_STOPS)]);

const serviceTier = z.enum(['auto', 'default', 'flex', 'priority', 'scale']);

/** What every request may have. */
const common = {
  model,
  metadata: metadata.optional(),
  service_tier: serviceTier.optional(),
  user: user.optional(),
  safety_identifier: user.optional(),
  prompt_cache_key: user.optional(),
  prompt_cache_retention: z.string().max(MAX_USER_CHARS).optional(),
} as const;

/** How a text is written and answered; two of the knobs are Hugging Face's, which vLLM takes too. */
const writing = {
  temperature: temperature.optional(),
  top_p: topP.optional(),
  top_k: z.int().min(0).optional(),
  repetition_penalty: z.number().min(0.1).max(10).optional(),
  seed: z.int().optional(),
  stop: stop.optional(),
  stream: z.boolean().optional(),
  stream_options: z
    .strictObject({
      include_usage: z.boolean().optional(),
      include_obfuscation: z.boolean().optional(),
    })
    .optional(),
} as const;

/** Knobs of completions that may only be at rest. */
const completing = {
  frequency_penalty: only(0).optional(),
  presence_penalty: only(0).optional(),
  logit_bias: z.strictObject({}, NOT_HERE).optional(),
  n: only(1).optional(),
} as const;

/** What conversations and responses may say of tools and the rest. */
const conversing = {
  top_logprobs: only(0).optional(),
  tools: empty.optional(),
  tool_choice: z.enum(['none', 'auto']).optional(),
  parallel_tool_calls: z.boolean().optional(),
  store: z.boolean().optional(),
} as const;

const part = (...types: readonly string[]) =>
  z.strictObject({
    type: z.string().refine((type) => types.includes(type), `must be one of ${types.join(', ')}`),
    text,
    annotations: z.unknown().optional(),
    logprobs: z.unknown().optional(),
  });
const content = (...types: readonly string[]) =>
  z.union([text, z.array(part(...types)).min(1)]).transform((given) => {
    return typeof given === 'string' ? given : given.map((each) => each.text).join('');
  });

const role = z
  .enum(['system', 'developer', 'user', 'assistant'])
  .transform((given) => (given === 'developer' ? 'system' : given));

const chatMessage = z.strictObject({
  role,
  content: content('text'),
  name: none.optional(),
  refusal: none.optional(),
  tool_calls: empty.optional(),
});

export const chatSchema = z.strictObject({
  ...common,
  ...writing,
  ...completing,
  ...conversing,
  messages: z.array(chatMessage).min(1),
  max_tokens: count.optional(),
  max_completion_tokens: count.optional(),
  logprobs: only(false).optional(),
  response_format: z.strictObject({ type: only('text') }).optional(),
  modalities: z.array(only('text')).optional(),
});

export const completionSchema = z.strictObject({
  ...common,
  ...writing,
  ...completing,
  prompt: z.union([prompt, z.array(prompt).length(1, 'must be one prompt')]).transform((given) => {
    return typeof given === 'string' ? given : (given[0] ?? '');
  }),
  max_tokens: count.optional(),
  best_of: only(1).optional(),
  echo: only(false).optional(),
  logprobs: none.optional(),
  suffix: none.optional(),
});

const inputItem = z.strictObject({
  type: only('message').optional(),
  role,
  content: content('input_text', 'output_text', 'text'),
  id: z.string().optional(),
  status: z.string().optional(),
});

export const responseSchema = z.strictObject({
  ...common,
  ...writing,
  ...conversing,
  input: z.union([text, z.array(inputItem).min(1)]),
  instructions: text.optional(),
  background: z.boolean().optional(),
  max_output_tokens: count.optional(),
  include: empty.optional(),
  previous_response_id: none.optional(),
  conversation: none.optional(),
  reasoning: none.optional(),
  text: z.strictObject({ format: z.strictObject({ type: only('text') }).optional() }).optional(),
  truncation: only('disabled').optional(),
});

export const embeddingsSchema = z.strictObject({
  ...common,
  input: z.unknown(), // the model says what it may be
  encoding_format: z.enum(['float', 'base64']).optional(),
  dimensions: none.optional(),
});

/** `POST /openai/v1/images/generations`; those from `seed` on are ours, for `extra_body`. */
export const imageSchema = z
  .strictObject({
    ...common,
    prompt,
    n: z.int().min(1).max(10).optional(),
    size: z
      .string()
      .regex(/^(?:auto|\d{1,5}x\d{1,5})$/, 'must be auto, or width x height such as 512x512')
      .optional(),
    response_format: z.enum(['url', 'b64_json']).optional(),
    output_format: z.enum(['png', 'jpeg', 'webp']).optional(),
    output_compression: z.int().min(0).max(100).optional(),
    stream: z.boolean().optional(),
    partial_images: z.int().min(0).max(3).optional(),
    quality: z.enum(['auto', 'standard', 'medium'], unless('auto')).optional(),
    background: z.enum(['auto', 'opaque'], unless('auto')).optional(),
    moderation: only('auto').optional(),
    style: none.optional(),
    seed: z.int().min(0).optional(),
    negative_prompt: text.optional(),
    num_inference_steps: z.int().min(1).optional(),
    guidance_scale: z.number().min(0).optional(),
    scheduler: z.string().max(64).optional(),
  })
  .refine(({ stream, n = 1 }) => stream !== true || n === 1, {
    path: ['n'],
    error: 'must be 1 when the image is streamed',
  });

/** `GET /openai/v1/responses/{id}` */
export const retrieveQuerySchema = z.strictObject({
  stream: z.enum(['true', 'false']).optional(),
  starting_after: z
    .string()
    .regex(/^\d{1,10}$/, 'must be a sequence number')
    .optional(),
  include_obfuscation: z.string().optional(),
});

/** `POST /openai/v1/batches` */
export const batchSchema = z.strictObject({
  input_file_id: z.string().regex(FILE_ID, 'must be the id of a file'),
  endpoint: z.enum(Object.keys(OPENAI_ENDPOINTS) as [keyof typeof OPENAI_ENDPOINTS]),
  completion_window: durationSchema,
  metadata: metadata.optional(),
  output_expires_after: none.optional(),
});

const limitSchema = (most: number) =>
  z
    .string()
    .regex(/^[1-9]\d{0,4}$/, 'must be a positive whole number')
    .default('20')
    .transform((text) => Math.min(most, Number(text)));

/** `GET /openai/v1/batches` */
export const batchListQuerySchema = z.strictObject({
  after: z.string().regex(BATCH_ID, 'must be the id of a batch').optional(),
  limit: limitSchema(100),
});

/** `GET /openai/v1/files` */
export const fileListQuerySchema = z.strictObject({
  after: z.string().regex(FILE_ID, 'must be the id of a file').optional(),
  limit: limitSchema(100),
  order: z.enum(['asc', 'desc']).default('desc'),
  purpose: z.string().max(64).optional(),
});

export type BatchRequest = z.infer<typeof batchSchema>;
export type CompletionRequest = z.infer<typeof completionSchema>;
export type EmbeddingsRequest = z.infer<typeof embeddingsSchema>;
export type ImageRequest = z.infer<typeof imageSchema>;
export type ChatRequest = z.infer<typeof chatSchema>;
export type ResponseRequest = z.infer<typeof responseSchema>;
export type ServiceTier = z.infer<typeof serviceTier>;
