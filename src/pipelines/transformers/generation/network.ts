/* A language model as the library has opened it: its context, and how it reads and writes tokens. */
import { InvalidInputError } from '../../definition.ts';
import type { Tools } from '../task.ts';

export interface Network {
  readonly config: Readonly<Record<string, unknown>>;
  readonly generation_config?: Readonly<Record<string, unknown>> | null;
  forward(inputs: unknown): Promise<unknown>;
  /** With `return_dict_in_generate`, the cache of what was read. */
  generate(options: object): Promise<{ readonly past_key_values: Cache }>;
}

/** What the network keeps of the tokens that it has read. */
interface Cache {
  dispose(): Promise<void>;
}

/** The names under which models of different kinds keep the length of their context. */
const CONTEXTS = ['max_position_embeddings', 'n_positions', 'n_ctx', 'max_seq_len', 'seq_length'];

/** How many tokens may follow the prompt. */
export function roomFor(promptLength: number, config: Network['config']): number {
  const text = (config['text_config'] ?? {}) as Network['config'];
  const lengths = CONTEXTS.map((name) => Number(config[name] ?? text[name]));
  const length = lengths.find((each) => each > 0) ?? Infinity;
  if (promptLength < length) return length - promptLength;
  throw new InvalidInputError(
    `the prompt has ${promptLength} tokens, which fill the model's context of ${length} tokens`,
    { reason: 'context_length_exceeded' },
  );
}

/** The tokens that end a text. */
export function endsOf({ generation_config: own, config }: Network): ReadonlySet<number> {
  const ends = own?.['eos_token_id'] ?? config['eos_token_id'] ?? [];
  return new Set([ends].flat().map(Number));
}

/**
 * Tokens are read in pieces of so many. Read as one, a long prompt, or a text that is gone on with, would take memory
 * for each pair of its tokens, and for the scores of the whole vocabulary at each of its places.
 */
const READ_AT_ONCE = 256;

/** Reads all tokens there are, and writes more. */
export async function writeTokens(
  ids: readonly number[],
  model: Network,
  { toTokens }: Tools,
  { signal, ...options }: { readonly signal: AbortSignal; readonly [name: string]: unknown },
): Promise<void> {
  let cache: Cache | undefined;
  try {
    for (let end = READ_AT_ONCE; end < ids.length; end += READ_AT_ONCE) {
      signal.throwIfAborted();
      const read = await model.generate({
        ...toTokens(ids.slice(0, end)),
        ...(cache === undefined ? {} : { past_key_values: cache }),
        max_new_tokens: 1, // it is not looked at: what counts is what was read
        do_sample: false,
        return_dict_in_generate: true,
      });
      cache = read.past_key_values;
    }
    await model.generate({
      ...toTokens(ids),
      ...(cache === undefined ? {} : { past_key_values: cache }),
      ...options,
    });
  } finally {
    await cache?.dispose();
  }
}

/** Passes on each token. The library's first call tells the prompt. */
export function streamerOf(take: (id: number) => void): object {
  let isPrompt = true;
  const put = (ids: readonly bigint[][]) => {
    if (!isPrompt) take(Number(ids[0]?.[0]));
    isPrompt = false;
  };
  return { put, end: () => {} };
}

/** The same network, which waits before each token. */
export function slowed(model: Network, delayMs: number): Network {
  if (delayMs === 0) return model;
  const forward = async (inputs: unknown) => {
    await new Promise((resolve) => {
      setTimeout(resolve, delayMs);
    });
    return await model.forward(inputs);
  };
  return Object.create(model, { forward: { value: forward } }) as Network;
}
