/* /openai/v1/chat/completions and /openai/v1/completions: a text, whole or as it is written. */
import { type Request, type Response, Router } from 'express';
import { z } from 'zod';
import type { Accepted, TokenCount } from '../../contract/prediction.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Bodies } from '../http/bodies.ts';
import {
  type EndDependencies,
  failure,
  outputOf,
  type Succeeded,
  succeededEnd,
  textEvents,
} from './ends.ts';
import {
  type Asked,
  bodyAs,
  optionsFor,
  order,
  type OrderDependencies,
  requireReader,
  stopOf,
  tierOf,
  versionFor,
} from './orders.ts';
import { chatSchema, completionSchema } from './schemas.ts';
import { EventStream } from './sse.ts';

export interface TextDependencies extends OrderDependencies, EndDependencies {
  readonly bodies: Bodies;
  readonly logger: Logger;
}

/** The output of a text generation, as far as it is read here. */
export const generatedSchema = z.object({
  generated_text: z.string(),
  finish_reason: z.enum(['stop', 'length']),
});

/** How an endpoint asks and answers. */
interface TextForm {
  /** What the id of an answer begins with; the rest is that of the prediction's. */
  readonly prefix: string;
  readonly object: string;
  readonly chunkObject: string;
  choice(text: string, finishReason: string): object;
  /** A choice of a chunk. */
  chunk(text: string, isFirst: boolean): object;
  /** The choice of the last chunk. */
  lastChunk(finishReason: string): object;
}

interface TextRequest extends Asked {
  readonly model: string;
  readonly stream: boolean;
  readonly withUsage: boolean;
}

const chat: TextForm = {
  prefix: 'chatcmpl-',
  object: 'chat.completion',
  chunkObject: 'chat.completion.chunk',
  choice: (content, finish) => ({
    index: 0,
    message: { role: 'assistant', content, refusal: null },
    logprobs: null,
    finish_reason: finish,
  }),
  chunk: (content, isFirst) => ({
    index: 0,
    delta: isFirst ? { role: 'assistant', content } : { content },
    logprobs: null,
    finish_reason: null,
  }),
  lastChunk: (finish) => ({ index: 0, delta: {}, logprobs: null, finish_reason: finish }),
};

const completion: TextForm = {
  prefix: 'cmpl-',
  object: 'text_completion',
  chunkObject: 'text_completion',
  choice: (text, finish) => ({ index: 0, text, logprobs: null, finish_reason: finish }),
  chunk: (text) => ({ index: 0, text, logprobs: null, finish_reason: null }),
  lastChunk: (finish) => ({ index: 0, text: '', logprobs: null, finish_reason: finish }),
};

function chatRequest(request: Request): TextRequest {
  const body = bodyAs(chatSchema, request);
  return {
    model: body.model,
    input: { messages: body.messages.map(plainMessage), ...stopOf(body) },
    options: optionsFor(body, body.max_completion_tokens ?? body.max_tokens),
    request: body,
    stream: body.stream ?? false,
    withUsage: body.stream_options?.include_usage ?? false,
  };
}

const plainMessage = ({ role, content }: { role: string; content: string }) => ({ role, content });

/** How many tokens a completion has when it does not say: OpenAI's own number. */
const COMPLETION_TOKENS = 16;

function completionRequest(request: Request): TextRequest {
  const body = bodyAs(completionSchema, request);
  return {
    model: body.model,
    input: { inputs: body.prompt, ...stopOf(body) },
    options: optionsFor(body, body.max_tokens ?? COMPLETION_TOKENS),
    request: body,
    stream: body.stream ?? false,
    withUsage: body.stream_options?.include_usage ?? false,
  };
}

export function textsRouter(dependencies: TextDependencies): Router {
  const router = Router();
  const { json } = dependencies.bodies;
  const endpoint =
    (form: TextForm, read: (request: Request) => TextRequest) =>
    async (request: Request, response: Response) => {
      const asked = read(request);
      requireReader(response);
      const version = versionFor(dependencies.acceptance, asked.model, 'text-generation');
      dependencies.waitLimit.requireRoom(response); // before it is accepted
      const { accepted } = await order(request, response, version, asked, dependencies);
      if (asked.stream) await streamText(response, accepted, form, asked.withUsage, dependencies);
      else await answerText(response, accepted, form, dependencies);
    };
  router.post('/chat/completions', json, endpoint(chat, chatRequest));
  router.post('/completions', json, endpoint(completion, completionRequest));
  return router;
}

async function answerText(
  response: Response,
  accepted: Accepted,
  form: TextForm,
  dependencies: TextDependencies,
): Promise<void> {
  const ended = await succeededEnd(response, accepted, dependencies);
  const output = generatedSchema.parse(await outputOf(ended, response, dependencies));
  response.json({
    ...head(accepted, form, form.object),
    choices: [form.choice(output.generated_text, output.finish_reason)],
    usage: usageOf(ended),
  });
}

/** A client that hangs up wants no more of the text: the prediction is canceled. */
async function streamText(
  response: Response,
  accepted: Accepted,
  form: TextForm,
  withUsage: boolean,
  dependencies: TextDependencies,
): Promise<void> {
  cancelOnHangUp(response, accepted, dependencies);
  const stream = new EventStream(response);
  const base = head(accepted, form, form.chunkObject);
  const usage = withUsage ? { usage: null } : {};
  const sendChoice = async (choice: object) =>
    await stream.send({ ...base, choices: [choice], ...usage });
  try {
    let isFirst = true;
    for await (const event of textEvents(response, accepted, 0, dependencies)) {
      if (event.type === 'piece') {
        await sendChoice(form.chunk(event.text, isFirst));
        isFirst = false;
      }
      if (event.type !== 'ended') continue;
      if (event.ended.status !== 'succeeded') throw failure(accepted, event.ended);
      const output = await outputOf(event.ended, response, dependencies);
      if (isFirst) await sendChoice(form.chunk('', true));
      await sendChoice(form.lastChunk(generatedSchema.parse(output).finish_reason));
      if (withUsage) await stream.send({ ...base, choices: [], usage: usageOf(event.ended) });
      await stream.done();
    }
    stream.end();
  } catch (error) {
    if (!stream.isBegun) throw error; // it is answered with a status
    await stream.fail(error, dependencies.logger);
  }
}

/** Cancels a prediction when its client hangs up before it has been answered. */
export function cancelOnHangUp(
  response: Response,
  { id }: Accepted,
  { predictions, logger, stop }: TextDependencies,
): void {
  const cancel = () => {
    if (response.writableFinished || stop.aborted) return;
    predictions.cancel(id).catch((error: unknown) => {
      logger.warn({ err: error, prediction: id }, 'a prediction whose client hung up goes on');
    });
  };
  if (response.destroyed) cancel();
  else response.once('close', cancel);
}

const head = (accepted: Accepted, { prefix }: TextForm, object: string) => ({
  id: accepted.id.replace('pred_', prefix),
  object,
  created: secondsOf(accepted.created_at),
  model: accepted.model,
  service_tier: tierOf(accepted.priority),
  system_fingerprint: null,
});

/** OpenAI's times are whole seconds. */
export const secondsOf = (time: string): number => Math.floor(Date.parse(time) / 1000);

function usageOf({ metrics }: Succeeded) {
  const { prompt, completion: written } = tokensOf(metrics);
  return {
    prompt_tokens: prompt,
    completion_tokens: written,
    total_tokens: prompt + written,
  };
}

/** How many tokens a prediction has taken. */
export const tokensOf = ({ tokens }: Succeeded['metrics']): TokenCount =>
  tokens ?? { prompt: 0, completion: 0, per_second: null };
