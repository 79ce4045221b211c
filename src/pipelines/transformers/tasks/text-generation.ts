import { z } from 'zod';
import { textOf } from '../../../contract/work.ts';
import { type InferenceContext, InvalidInputError, type PipelineInput } from '../../definition.ts';
import { sampleToken } from '../generation/sampling.ts';
import {
  endsOf,
  type Network,
  roomFor,
  slowed,
  streamerOf,
  writeTokens,
} from '../generation/network.ts';
import { WrittenText } from '../generation/written-text.ts';
import {
  MAX_NEW_TOKENS,
  textSchema,
  TOKENIZER_FILES,
  type Tools,
  type TransformersTask,
} from '../task.ts';

const MAX_PROMPT_CHARS = 1_000_000;
const MAX_STOPS = 16;

const promptSchema = textSchema(MAX_PROMPT_CHARS);

const messagesSchema = z
  .array(
    z.strictObject({
      role: z.enum(['system', 'user', 'assistant']),
      content: promptSchema,
    }),
  )
  .min(1)
  .max(1000)
  .refine(
    (messages) =>
      messages.reduce((sum, { content }) => sum + content.length, 0) <= MAX_PROMPT_CHARS,
    `must have at most ${MAX_PROMPT_CHARS} characters in all`,
  );

const inputSchema = z
  .strictObject({
    inputs: promptSchema.optional().describe('The text that is to be continued.'),
    messages: messagesSchema
      .optional()
      .describe('A conversation to be continued, instead of `inputs`.'),
    stop: z
      .array(textSchema(100))
      .max(MAX_STOPS)
      .optional()
      .describe('The text ends before the first of these that comes.'),
  })
  .refine(
    ({ inputs, messages }) => (inputs === undefined) !== (messages === undefined),
    'must have either inputs or messages',
  );

const byModel = 'When absent, what generation_config.json of the model says.';

const optionsSchema = z.strictObject({
  max_new_tokens: z
    .int()
    .min(1)
    .max(MAX_NEW_TOKENS)
    .default(256)
    .describe('At most so many tokens, and no more than the context has room for.'),
  temperature: z
    .number()
    .min(0)
    .max(5)
    .optional()
    .describe(`0: always the most probable token. ${byModel}`),
  top_k: z
    .int()
    .min(0)
    .max(100_000)
    .optional()
    .describe(`Only so many of the most probable tokens; 0: all. ${byModel}`),
  top_p: z
    .number()
    .gt(0)
    .max(1)
    .optional()
    .describe(`Only the most probable tokens with this share of the probability. ${byModel}`),
  repetition_penalty: z
    .number()
    .min(0.1)
    .max(10)
    .optional()
    .describe(`Above 1: what was said comes less often. ${byModel}`),
  seed: z
    .int()
    .min(0)
    .optional()
    .describe('The same seed gives the same text. When absent, one is drawn.'),
});

/** The output. */
export const generatedSchema = z.object({
  generated_text: z.string().describe('What was written, without the prompt and the stop string.'),
  finish_reason: z
    .enum(['stop', 'length'])
    .describe('stop: the model or a stop string has ended it; length: there was no more room.'),
});

/** A text that goes on where another ends, token after token. */
export const textGeneration: TransformersTask = {
  settings: {
    token_delay_ms: z.int().min(0).max(1000).default(0), // for trying out: a larger model takes its time
  },
  files: TOKENIZER_FILES,
  schema: {
    input: inputSchema,
    options: optionsSchema,
    output: generatedSchema,
    media: {},
    example: { inputs: 'Once upon a time', stop: ['The end'] },
    streaming: { kind: 'text', textOf: (output) => generatedSchema.parse(output).generated_text },
  },
  textOf: null,
  async run(items, tools, contexts) {
    const texts = [];
    for (const [index, context] of contexts.entries()) {
      texts.push(await generate(items[index] ?? { input: {}, options: {} }, tools, context));
    }
    return texts;
  },
};

/** The library's tokenizer and network, as far as they are used here. */
interface Library {
  readonly tokenizer: {
    (text: string, options: object): { readonly input_ids: { tolist(): readonly bigint[][] } };
    readonly chat_template?: unknown;
    readonly add_bos_token?: boolean;
    decode(ids: readonly number[], options: object): string;
    apply_chat_template(messages: unknown, options: object): string;
  };
  readonly model: Network;
}

async function generate(
  item: PipelineInput,
  tools: Tools,
  context: InferenceContext,
): Promise<z.infer<typeof generatedSchema>> {
  const { tokenizer, model: network } = tools.pipe as unknown as Library;
  const input = item.input as z.infer<typeof inputSchema>;
  const options = item.options as z.infer<typeof optionsSchema>;
  const model = slowed(network, Number(tools.settings['token_delay_ms']));
  const prompt = promptIds(input, tokenizer);
  const most = Math.min(options.max_new_tokens, roomFor(prompt.length, model.config));
  const ends = endsOf(model);
  const written = new WrittenText((ids) => tokenizer.decode(ids, DECODING), input.stop ?? []);
  for (const id of idsOf(context.before?.['ids'])) written.push(id);
  const clock = new TokenClock();
  const isEnded = () => written.isStopped || ends.has(written.ids.at(-1) ?? -1);
  const isDone = () => isEnded() || written.ids.length >= most;
  if (!isDone()) {
    await writeTokens([...prompt, ...written.ids], model, tools, {
      ...knobsOf(options, model, prompt.length),
      max_new_tokens: most - written.ids.length,
      streamer: streamerOf((id) => {
        clock.tick();
        context.emit({ text: written.push(id), ids: [id] });
      }),
      stopping_criteria: [() => [context.signal.aborted || isDone()]],
      signal: context.signal,
    });
  }
  if (!isDone()) context.signal.throwIfAborted();
  context.count({
    prompt: prompt.length,
    completion: written.ids.length,
    per_second: clock.perSecond(),
  });
  const isStopped = isEnded();
  const rest = written.end();
  const isTold = textOf(context.before).length >= written.text.length; // by an attempt that died at its very end
  if (rest !== '' && !isTold) context.emit({ text: rest, ids: [] });
  return { generated_text: written.text, finish_reason: isStopped ? 'stop' : 'length' };
}

/** The text as the tokens say it: the library's corrections of spaces depend on what comes later. */
const DECODING = { skip_special_tokens: true, clean_up_tokenization_spaces: false };

function promptIds(
  { inputs, messages }: z.infer<typeof inputSchema>,
  tokenizer: Library['tokenizer'],
) {
  const text = inputs ?? chatText(messages, tokenizer);
  const withSpecials = inputs !== undefined && tokenizer.add_bos_token !== false; // a chat template has its own
  const options = { add_special_tokens: withSpecials, truncation: false };
  const ids = (tokenizer(text, options).input_ids.tolist()[0] ?? []).map(Number);
  if (ids.length > 0) return ids;
  throw new InvalidInputError('the prompt has no tokens');
}

function chatText(messages: unknown, tokenizer: Library['tokenizer']): string {
  if (!tokenizer.chat_template) {
    const message = 'the model takes no messages, because it has no chat template: give it inputs';
    throw new InvalidInputError(message, { reason: 'no_chat_template' });
  }
  try {
    return tokenizer.apply_chat_template(messages, {
      tokenize: false,
      add_generation_prompt: true,
    });
  } catch (error) {
    const message = `the chat template of the model does not take these messages: ${String(error)}`;
    throw new InvalidInputError(message);
  }
}

const idsOf = (ids: unknown): readonly number[] => (Array.isArray(ids) ? ids.map(Number) : []);

/** What the library is told beside the tokens: it takes the token that `sampleToken` leaves. */
function knobsOf(
  options: z.infer<typeof optionsSchema>,
  { generation_config: own }: Network,
  promptLength: number,
): object {
  const temperature =
    options.temperature ?? (own?.['do_sample'] === true ? (own['temperature'] ?? 1) : 0);
  const sampling = {
    temperature: Number(temperature),
    topK: Number(options.top_k ?? own?.['top_k'] ?? 0),
    topP: Number(options.top_p ?? own?.['top_p'] ?? 1),
    seed: options.seed ?? 0,
  };
  const choose = (ids: readonly bigint[][], logits: { readonly data: Float32Array }) => {
    const position = (ids[0] ?? []).length - promptLength;
    const token = sampleToken(logits.data, position, sampling);
    logits.data.fill(-Infinity);
    logits.data[token] = 0;
    return logits;
  };
  return {
    do_sample: false,
    num_beams: 1,
    repetition_penalty: Number(options.repetition_penalty ?? own?.['repetition_penalty'] ?? 1),
    logits_processor: sampling.temperature === 0 ? [] : [choose],
  };
}

/** How fast tokens come. */
class TokenClock {
  #count = 0;
  #firstMs = 0;
  #lastMs = 0;

  tick(): void {
    this.#lastMs = performance.now();
    if (this.#count === 0) this.#firstMs = this.#lastMs;
    this.#count += 1;
  }

  perSecond(): number | null {
    const ms = this.#lastMs - this.#firstMs;
    return ms > 0 ? Math.round(((this.#count - 1) * 100_000) / ms) / 100 : null;
  }
}
