/* The operations of OpenAI's dialect: what its clients need to be told is in their own documentation. */
import { z } from 'zod';
import {
  batchListQuerySchema,
  batchSchema,
  chatSchema,
  completionSchema,
  embeddingsSchema,
  fileListQuerySchema,
  imageSchema,
  responseSchema,
  retrieveQuerySchema,
} from '../openai/schemas.ts';
import { answer, answers, bodyOf, type Documented, type DocumentedId, GUARDED } from './parts.ts';
import { anyBytes, storedBytes } from './predictions.ts';

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

const imagesAnswer = z
  .strictObject({
    created: whole,
    data: z.array(z.strictObject({ url: z.string().optional(), b64_json: z.string().optional() })),
    seed: whole.describe('Ours: with it the same images come again.'),
    background: z.string(),
    output_format: z.string(),
    quality: z.string(),
    size: z.string(),
  })
  .meta({ id: 'OpenAiImages' });

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

const seconds = whole.nullable();
const fileAnswer = z
  .strictObject({
    id: z.string(),
    object: z.literal('file'),
    bytes: whole,
    created_at: whole,
    expires_at: whole,
    filename: z.string(),
    purpose: z.string(),
    status: z.enum(['uploaded', 'processed']),
  })
  .meta({ id: 'OpenAiFile' });

const batchAnswer = z
  .looseObject({
    id: z.string(),
    object: z.literal('batch'),
    endpoint: z.string().nullable(),
    status: z.enum([
      'validating',
      'in_progress',
      'cancelling',
      'completed',
      'cancelled',
      'expired',
      'failed',
    ]),
    input_file_id: z.string().nullable(),
    output_file_id: z.string().nullable(),
    error_file_id: z.string().nullable(),
    created_at: whole,
    completed_at: seconds,
    request_counts: z.strictObject({ total: whole, completed: whole, failed: whole }),
  })
  .meta({ id: 'OpenAiBatch' });

const listOf = (element: z.ZodType) =>
  z.strictObject({
    object: z.literal('list'),
    data: z.array(element),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  });

const ofId = { path: z.object({ id: z.string() }) };
const uploaded = {
  'multipart/form-data': {
    schema: {
      type: 'object',
      properties: { purpose: { type: 'string' }, file: { type: 'string', format: 'binary' } },
    } as const,
  },
};

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
  openaiImages: {
    summary: 'Make images',
    requestBody: {
      required: true,
      ...bodyOf(imageSchema, { model: 'digits', prompt: 'a handwritten seven', n: 2 }),
    },
    responses: openAi({ '200': streamed('The images', imagesAnswer) }, ...SUBMITTED),
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
  openaiCreateFile: {
    summary: 'Store a file',
    requestBody: { required: true, content: uploaded },
    responses: openAi({ '200': answer('The file', fileAnswer) }, 413, 415, 429),
  },
  openaiListFiles: {
    summary: 'The files',
    requestParams: { query: fileListQuerySchema },
    responses: openAi({ '200': answer('A page', listOf(fileAnswer)) }),
  },
  openaiGetFile: {
    summary: 'A file',
    requestParams: ofId,
    responses: openAi({ '200': answer('The file', fileAnswer) }, 404, 410),
  },
  openaiGetContent: {
    summary: 'The bytes of a file',
    requestParams: ofId,
    responses: openAi(storedBytes('The bytes', anyBytes), 404, 410),
  },
  openaiDeleteFile: {
    summary: 'Remove a file',
    requestParams: ofId,
    responses: openAi(
      {
        '200': answer(
          'It is gone',
          z.strictObject({
            id: z.string(),
            object: z.literal('file'),
            deleted: z.literal(true),
          }),
        ),
      },
      404,
      410,
    ),
  },
  openaiCreateBatch: {
    summary: 'Run the requests of a file',
    requestBody: {
      required: true,
      ...bodyOf(batchSchema, {
        input_file_id: 'file_01kb6v0x3dq2m8c5n7w9t4hjre',
        endpoint: '/v1/chat/completions',
        completion_window: '24h',
      }),
    },
    responses: openAi({ '200': answer('The batch', batchAnswer) }, ...SUBMITTED, 410),
  },
  openaiListBatches: {
    summary: 'The batches, the newest first',
    requestParams: { query: batchListQuerySchema },
    responses: openAi({ '200': answer('A page', listOf(batchAnswer)) }),
  },
  openaiGetBatch: {
    summary: 'A batch',
    requestParams: ofId,
    responses: openAi({ '200': answer('The batch', batchAnswer) }, 404, 410),
  },
  openaiCancelBatch: {
    summary: 'Cancel a batch',
    requestParams: ofId,
    responses: openAi({ '200': answer('The batch', batchAnswer) }, 404, 410),
  },
  openaiListModels: {
    summary: "The models that OpenAI's clients can use",
    responses: openAi({
      '200': answer(
        'Models that write or embed texts, or make images',
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
