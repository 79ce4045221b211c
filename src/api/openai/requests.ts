/* What a body in OpenAI's dialect asks a model for, whether it came by itself or as a line of a batch. */
import type { Asked } from './orders.ts';
import { optionsFor, stopOf } from './orders.ts';
import type { ChatRequest, CompletionRequest, EmbeddingsRequest, ImageRequest } from './schemas.ts';

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

export function imageAsked(body: ImageRequest): Asked {
  const { size = 'auto', output_compression: quality } = body;
  const [width, height] = size === 'auto' ? [] : size.split('x').map(Number);
  return {
    input: {
      prompt: body.prompt,
      ...(body.negative_prompt === undefined ? {} : { negative_prompt: body.negative_prompt }),
    },
    options: {
      width,
      height,
      num_outputs: body.n,
      output_format: body.output_format,
      output_quality: quality === undefined ? undefined : Math.max(1, quality),
      seed: body.seed,
      num_inference_steps: body.num_inference_steps,
      guidance_scale: body.guidance_scale,
      scheduler: body.scheduler,
    },
    request: body,
  };
}

/** One text, or the tokens of one, as a list of one. */
function listOf(input: unknown): unknown {
  const isList = Array.isArray(input) && typeof input[0] !== 'number';
  return isList ? input : [input];
}
