/* The operations of OpenAI's dialect: what its clients need to be told is in their own documentation. */
import { z } from 'zod';
import {
  chatSchema,
  completionSchema,
  embeddingsSchema,
  responseSchema,
  retrieveQuerySchema,
} from '../openai/schemas.ts';
import { answer, answers, bodyOf, type Documented, type DocumentedId, GUARDED } from './parts.ts';

const whole = z.int().min(0);
const finish = z.enum(['stop', 'length']);
const base = { id: z.string(), created: whole, model: z.string() } as const;
const usage = z.strictObject({
  prompt_tokens: whole,
  completion_tokens: whole,
  total_tokens: whole,
});

const chatAnswer = z
  .looseObject({
    ...base,
    object: z.literal('chat.completion'),
    choices: z.array(
      z.looseObject({
        index: whole,
        message: z.looseObject({ role: z.literal('assistant'), content: z.string() }),
        finish_reason: finish,
      }),
    ),
    usage,
  })
  .meta({ id: 'ChatCompletion' });

const completionAnswer = z
  .looseObject({
    ...base,
    object: z.literal('text_completion'),
    choices: z.array(z.looseObject({ index: whole, text: z.string(), finish_reason: finish })),
    usage,
  })
  .meta({ id: 'Completion' });

const responseAnswer = z
  .looseObject({
    id: z.string(),
    object: z.literal('response'),
    created_at: whole,
    status: z.enum(['queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled']),
    background: z.boolean(),
    model: z.string(),
    error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
    output: z.array(z.looseObject({ type: z.literal('message'), id: z.string() })),
    metadata: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Response' });

const embeddingsAnswer = z
  .strictObject({
    object: z.literal('list'),
    model: z.string(),
    data: z.array(
      z.strictObject({
        object: z.literal('embedding'),
        index: whole,
        embedding: z.union([z.array(z.number()), z.string()]),
      }),
    ),
    usage: z.strictObject({ prompt_tokens: whole, total_tokens: whole }),
  })
  .meta({ id: 'Embeddings' });

const modelAnswer = z
  .strictObject({
    id: z.string(),
    object: z.literal('model'),
    created: whole,
    owned_by: z.string(),
  })
  .meta({ id: 'OpenAiModel' });

const errorAnswer = z
  .looseObject({
    error: z.strictObject({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string(),
    }),
  })
  .meta({ id: 'OpenAiError' });

const openAi = (own: Parameters<typeof answers>[0], ...more: readonly number[]) =>
  answers(own, [...GUARDED, ...more], 'application/json', errorAnswer);

/** An answer that is a whole object, or its parts as server-sent events. */
const streamed = (description: string, schema: z.ZodType) => ({
  description,
  content: { 'application/json': { schema }, 'text/event-stream': {} },
});

const SUBMITTED = [404, 409, 413, 415, 429] as const;
const messages = [{ role: 'user', content: 'Hello' }];

export const openai = {
  openaiChat: {
    summary: 'Continue a conversation',
    requestBody: {
      required: true,
      ...bodyOf(chatSchema, { model: 'babble', messages, max_tokens: 20 }),
    },
    responses: openAi({ '200': streamed('The answer', chatAnswer) }, ...SUBMITTED),
  },
  openaiCompletion: {
    summary: 'Continue a text',
    requestBody: {
      required: true,
      ...bodyOf(completionSchema, { model: 'babble', prompt: 'Once upon a time' }),
    },
    responses: openAi({ '200': streamed('The rest of the text', completionAnswer) }, ...SUBMITTED),
  },
  openaiEmbeddings: {
    summary: 'The embeddings of texts',
    requestBody: {
      required: true,
      ...bodyOf(embeddingsSchema, { model: 'minilm', input: 'Hello' }),
    },
    responses: openAi({ '200': answer('An embedding for each', embeddingsAnswer) }, ...SUBMITTED),
  },
  openaiCreateResponse: {
    summary: 'Create a response, in the background if asked to',
    requestBody: {
      required: true,
      ...bodyOf(responseSchema, {
        model: 'babble',
        input: 'Hello',
        background: true,
        max_output_tokens: 20,
      }),
    },
    responses: openAi({ '200': streamed('The response', responseAnswer) }, ...SUBMITTED),
  },
  openaiGetResponse: {
    summary: 'A response, or its events',
    requestParams: { path: z.object({ id: z.string() }), query: retrieveQuerySchema },
    responses: openAi({ '200': streamed('The response', responseAnswer) }, 404, 409, 410),
  },
  openaiCancelResponse: {
    summary: 'Cancel a response',
    requestParams: { path: z.object({ id: z.string() }) },
    responses: openAi({ '200': answer('The response', responseAnswer) }, 404, 410),
  },
  openaiListModels: {
    summary: "The models that OpenAI's clients can use",
    responses: openAi({
      '200': answer(
        'Models that write or embed texts',
        z.strictObject({ object: z.literal('list'), data: z.array(modelAnswer) }),
      ),
    }),
  },
  openaiGetModel: {
    summary: "A model, for OpenAI's clients",
    requestParams: { path: z.object({ model: z.string() }) },
    responses: openAi({ '200': answer('The model', modelAnswer) }, 404),
  },
} satisfies Partial<Record<DocumentedId, Documented>>;
