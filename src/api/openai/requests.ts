/* What a body in OpenAI's dialect asks a model for, whether it came by itself or as a line of a batch. */
import type { Asked } from './orders.ts';
import { optionsFor, stopOf } from './orders.ts';
import type { ChatRequest, CompletionRequest, EmbeddingsRequest } from './schemas.ts';

/** How many tokens a completion has when it does not say: OpenAI's own number. */
const COMPLETION_TOKENS = 16;

export const chatAsked = (body: ChatRequest): Asked => ({
  input: { messages: body.messages.map(plainMessage), ...stopOf(body) },
  options: optionsFor(body, body.max_completion_tokens ?? body.max_tokens),
  request: body,
});

const plainMessage = ({ role, content }: { role: string; content: string }) => ({ role, content });

export const completionAsked = (body: CompletionRequest): Asked => ({
  input: { inputs: body.prompt, ...stopOf(body) },
  options: optionsFor(body, body.max_tokens ?? COMPLETION_TOKENS),
  request: body,
});

export const embeddingsAsked = (body: EmbeddingsRequest): Asked => ({
  input: { inputs: listOf(body.input) },
  options: {},
  request: body,
});

/** One text, or the tokens of one, as a list of one. */
function listOf(input: unknown): unknown {
  const isList = Array.isArray(input) && typeof input[0] !== 'number';
  return isList ? input : [input];
}
