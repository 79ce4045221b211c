/*
 * The results of a batch as OpenAI's clients read them: https://platform.openai.com/docs/api-reference/batch/request-output.
 * What has succeeded is in one file, what has not in another.
 */
import { z } from 'zod';
import { OPENAI_ENDPOINTS, type OpenAiBatch } from '../contract/batch.ts';
import type { Claim } from '../contract/payload.ts';
import { generatedSchema } from '../pipelines/index.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import { storedLines } from './stored-lines.ts';

/** What the answers say of their batch. */
export interface OpenAiAnswers {
  readonly batchId: string;
  readonly model: string;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly endpoint: OpenAiBatch['endpoint'];
}

const tokensSchema = z.object({ prompt: z.int(), completion: z.int() });
const resultSchema = z.object({
  custom_id: z.string(),
  index: z.int(),
  status: z.enum(['succeeded', 'failed', 'canceled']),
  output: z.json(),
  error: z
    .object({ code: z.string(), message: z.string(), reason: z.string().nullable() })
    .nullable(),
  tokens: tokensSchema.optional(),
});
type Result = z.infer<typeof resultSchema>;

/** The lines of one of the two files. Throws `PayloadNotFoundError` and `PayloadCorruptError`. */
export async function* openAiLines(
  store: PayloadStore,
  output: Claim,
  which: 'output' | 'errors',
  answers: OpenAiAnswers,
): AsyncGenerator<Uint8Array> {
  for await (const line of storedLines(store, output)) {
    const result = resultSchema.parse(JSON.parse(line.toString('utf8')));
    if ((result.status === 'succeeded') !== (which === 'output')) continue;
    yield Buffer.from(`${JSON.stringify(openAiLine(result, answers))}\n`);
  }
}

function openAiLine(result: Result, answers: OpenAiAnswers) {
  const { custom_id, index, status, error } = result;
  const id = answers.batchId.replace('batch_', 'batch_req_');
  const base = { id: `${id}-${index}`, custom_id };
  if (status === 'succeeded') {
    const body = bodyOf(result, answers);
    return { ...base, response: { status_code: 200, request_id: base.id, body }, error: null };
  }
  if (error === null) {
    const message = 'the batch was canceled before this request was run';
    return { ...base, response: null, error: { code: 'batch_cancelled', message } };
  }
  if (error.code === 'deadline_exceeded') {
    const message = 'the batch expired before this request was run';
    return { ...base, response: null, error: { code: 'batch_expired', message } };
  }
  const isTheirs = error.code === 'invalid_input';
  const body = {
    error: {
      message: error.message,
      type: isTheirs ? 'invalid_request_error' : 'server_error',
      param: null,
      code: error.reason ?? (isTheirs ? 'invalid_value' : error.code),
    },
  };
  const status_code = isTheirs ? 400 : 500;
  return { ...base, response: { status_code, request_id: base.id, body }, error: null };
}

function bodyOf({ index, output, tokens }: Result, answers: OpenAiAnswers) {
  const { endpoint, model, batchId, createdAt } = answers;
  const prompt = tokens?.prompt ?? 0;
  if (endpoint === '/v1/embeddings') {
    return {
      object: 'list',
      data: z
        .array(z.json())
        .parse(output)
        .map((embedding, at) => ({
          object: 'embedding',
          index: at,
          embedding,
        })),
      model,
      usage: { prompt_tokens: prompt, total_tokens: prompt },
    };
  }
  const { generated_text: text, finish_reason } = generatedSchema.parse(output);
  const isChat = endpoint === '/v1/chat/completions';
  const written = tokens?.completion ?? 0;
  const choice = isChat
    ? { message: { role: 'assistant', content: text, refusal: null } }
    : { text };
  const { prefix, object } = OPENAI_ENDPOINTS[endpoint];
  return {
    id: batchId.replace('batch_', prefix).concat(`-${index}`),
    object,
    created: Math.floor(Date.parse(createdAt) / 1000),
    model,
    choices: [{ index: 0, ...choice, logprobs: null, finish_reason }],
    usage: {
      prompt_tokens: prompt,
      completion_tokens: written,
      total_tokens: prompt + written,
    },
    system_fingerprint: null,
  };
}
