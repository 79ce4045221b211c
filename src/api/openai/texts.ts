/* /openai/v1/chat/completions and /openai/v1/completions: a text, whole or as it is written. */
import { type Request, type Response, Router } from 'express';
import type { Accepted, Metrics } from '../../contract/prediction.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { requireReader } from '../http/access.ts';
import type { Bodies } from '../http/bodies.ts';
import { EventStream } from '../http/event-stream.ts';
import { failure, outputOf, succeededEnd } from './ends.ts';
import { generatedIn, secondsOf, tokensOf } from './generated.ts';
import { cancelOnHangUp } from './hang-up.ts';
import {
  type Asked,
  bodyAs,
  order,
  type OrderDependencies,
  READER_ADVICE,
  tierOf,
  versionFor,
} from './orders.ts';
import { chatAsked, completionAsked } from './requests.ts';
import { type ChatRequest, chatSchema, completionSchema } from './schemas.ts';
import { failStream } from './stream-error.ts';
import type { FollowDependencies } from './observations.ts';
import { textEvents } from './text-events.ts';

export interface TextDependencies extends OrderDependencies, FollowDependencies {
  readonly bodies: Bodies;
  readonly logger: Logger;
}

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

/** What is left of a request when its prediction was accepted: the rest is not kept while the client waits. */
interface WantedText {
  readonly isStream: boolean;
  readonly withUsage: boolean;
}

interface TextRequest extends Asked {
  readonly model: string;
  readonly wanted: WantedText;
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
  return { model: body.model, ...chatAsked(body), wanted: wantedOf(body) };
}

const wantedOf = ({
  stream = false,
  stream_options: options,
}: Pick<ChatRequest, 'stream' | 'stream_options'>): WantedText => ({
  isStream: stream,
  withUsage: options?.include_usage ?? false,
});

function completionRequest(request: Request): TextRequest {
  const body = bodyAs(completionSchema, request);
  return { model: body.model, ...completionAsked(body), wanted: wantedOf(body) };
}

export function textsRouter(dependencies: TextDependencies): Router {
  const router = Router();
  const { json } = dependencies.bodies;
  const endpoint =
    (form: TextForm, read: (request: Request) => TextRequest) =>
    async (request: Request, response: Response) => {
      const { accepted, wanted } = await submit(request, response, read, dependencies);
      if (wanted.isStream) await streamText(response, accepted, form, wanted, dependencies);
      else await answerText(response, accepted, form, dependencies);
    };
  router.post('/chat/completions', json, endpoint(chat, chatRequest));
  router.post('/completions', json, endpoint(completion, completionRequest));
  return router;
}

async function submit(
  request: Request,
  response: Response,
  read: (request: Request) => TextRequest,
  dependencies: TextDependencies,
): Promise<{ readonly accepted: Accepted; readonly wanted: WantedText }> {
  const { wanted, model, ...asked } = read(request);
  requireReader(response, READER_ADVICE);
  const version = versionFor(dependencies.acceptance, model, 'text-generation');
  dependencies.waitLimit.requireRoom(response); // before it is accepted
  const { accepted } = await order(request, response, version, asked, dependencies);
  return { accepted, wanted };
}

async function answerText(
  response: Response,
  accepted: Accepted,
  form: TextForm,
  dependencies: TextDependencies,
): Promise<void> {
  const ended = await succeededEnd(response, accepted, dependencies);
  const output = generatedIn(await outputOf(ended, response, dependencies));
  response.json({
    ...head(accepted, form, form.object),
    choices: [form.choice(output.generated_text, output.finish_reason)],
    usage: usageOf(ended.metrics),
  });
}

/** A client that hangs up wants no more of the text: the prediction is canceled. */
async function streamText(
  response: Response,
  accepted: Accepted,
  form: TextForm,
  { withUsage }: WantedText,
  dependencies: TextDependencies,
): Promise<void> {
  cancelOnHangUp(response, accepted, dependencies);
  const stream = new EventStream(response);
  const base = head(accepted, form, form.chunkObject);
  const usage = withUsage ? { usage: null } : {};
  const sendChoice = (choice: object) => stream.send({ ...base, choices: [choice], ...usage });
  try {
    let isFirst = true;
    for await (const event of textEvents(response, accepted, 0, dependencies)) {
      if (event.type === 'piece') {
        sendChoice(form.chunk(event.text, isFirst));
        isFirst = false;
        await stream.drained();
      }
      if (event.type !== 'ended') continue;
      if (event.ended.status !== 'succeeded') throw failure(accepted, event.ended);
      if (isFirst) sendChoice(form.chunk('', true));
      sendChoice(form.lastChunk(generatedIn(event.output).finish_reason));
      if (withUsage) stream.send({ ...base, choices: [], usage: usageOf(event.ended.metrics) });
      stream.sendText('[DONE]');
    }
    stream.end();
  } catch (error) {
    failStream(stream, error, dependencies.logger);
  }
}

const head = (accepted: Accepted, { prefix }: TextForm, object: string) => ({
  id: accepted.id.replace('pred_', prefix),
  object,
  created: secondsOf(accepted.created_at),
  model: accepted.model,
  service_tier: tierOf(accepted.priority),
  system_fingerprint: null,
});

function usageOf(metrics: Metrics) {
  const { prompt, completion: written } = tokensOf(metrics);
  return {
    prompt_tokens: prompt,
    completion_tokens: written,
    total_tokens: prompt + written,
  };
}
