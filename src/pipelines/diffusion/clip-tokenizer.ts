/*
 * CLIP's tokenizer. Published folders of Stable Diffusion hold vocab.json and merges.txt rather than tokenizer.json,
 * which is made of them here as transformers' CLIPConverter does.
 */
import { readFile } from 'node:fs/promises';
import { Tokenizer } from '@huggingface/tokenizers';

/** Of CLIP: https://github.com/openai/CLIP/blob/main/clip/simple_tokenizer.py */
const WORDS =
  "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
const USUAL_LENGTH = 77;
/** A config without a length says so by a number as large as this. */
const NO_LENGTH = 1_000_000;
const MAX_LENGTH = 10_000;

export interface TokenizerFiles {
  readonly config: string;
  /** tokenizer.json; absent: it is made of the two below. */
  readonly whole: string | undefined;
  readonly vocabulary: string | undefined;
  readonly merges: string | undefined;
}

interface Config {
  readonly [key: string]: unknown;
}

/** The tokenizer of one text encoder. */
export class ClipTokenizer {
  /** How many tokens each prompt has in the end. */
  readonly length: number;
  readonly #tokenizer: Tokenizer;
  readonly #end: number;
  readonly #padding: number;

  private constructor(tokenizer: Tokenizer, config: Config) {
    this.length = lengthIn(config);
    this.#tokenizer = tokenizer;
    const end = textOf(config['eos_token']) ?? '<|endoftext|>';
    this.#end = idOf(tokenizer, end);
    this.#padding = idOf(tokenizer, textOf(config['pad_token']) ?? end);
  }

  /** Throws when the files are not those of a CLIP tokenizer. */
  static async open(files: TokenizerFiles): Promise<ClipTokenizer> {
    const config = JSON.parse(await readFile(files.config, 'utf8')) as Config;
    const whole =
      files.whole === undefined
        ? await assembled(files, config)
        : (JSON.parse(await readFile(files.whole, 'utf8')) as object);
    return new ClipTokenizer(new Tokenizer(whole, config), config);
  }

  /** The tokens of a prompt, cut to `length` and filled up to it. */
  encode(text: string): number[] {
    const all = this.#tokenizer.encode(text).ids;
    const ids = all.length > this.length ? [...all.slice(0, this.length - 1), this.#end] : all;
    return [...ids, ...Array<number>(this.length - ids.length).fill(this.#padding)];
  }
}

/** Throws when the config has a length that no prompt can have. */
function lengthIn({ model_max_length: given = USUAL_LENGTH }: Config): number {
  const isUsual = given === null || (typeof given === 'number' && given > NO_LENGTH);
  if (isUsual) return USUAL_LENGTH;
  if (Number.isInteger(given) && Number(given) >= 2 && Number(given) <= MAX_LENGTH) {
    return Number(given);
  }
  throw new Error(`tokenizer_config.json model_max_length: must be from 2 to ${MAX_LENGTH}`);
}

const textOf = (token: unknown): string | undefined => {
  if (typeof token === 'string') return token;
  const { content } = (token ?? {}) as { content?: unknown };
  return typeof content === 'string' ? content : undefined;
};

function idOf(tokenizer: Tokenizer, token: string): number {
  const id = tokenizer.token_to_id(token);
  if (id === undefined) throw new Error(`the tokenizer does not know its own token ${token}`);
  return id;
}

async function assembled({ vocabulary, merges }: TokenizerFiles, config: Config): Promise<object> {
  if (vocabulary === undefined || merges === undefined) {
    throw new Error('the tokenizer needs tokenizer.json, or vocab.json and merges.txt');
  }
  const vocab = JSON.parse(await readFile(vocabulary, 'utf8')) as Record<string, number>;
  const lines = (await readFile(merges, 'utf8')).split('\n');
  const pairs = lines.filter((line) => line.trim() !== '' && !line.startsWith('#version'));
  const begin = textOf(config['bos_token']) ?? '<|startoftext|>';
  const end = textOf(config['eos_token']) ?? '<|endoftext|>';
  const padding = textOf(config['pad_token']) ?? end;
  const unknown = textOf(config['unk_token']) ?? end;
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [...new Set([begin, end, padding])].map((content) => added(content, vocab)),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: WORDS }, behavior: 'Removed', invert: true },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: framed(begin, end, vocab),
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: unknown,
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      byte_fallback: false,
      vocab,
      merges: pairs.map((line) => line.trim().split(' ')),
    },
  };
}

const added = (content: string, vocab: Readonly<Record<string, number>>) => ({
  id: vocab[content],
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});

/** Puts the tokens for begin and end around a prompt. */
const framed = (begin: string, end: string, vocab: Readonly<Record<string, number>>) => ({
  type: 'TemplateProcessing',
  single: [
    { SpecialToken: { id: begin, type_id: 0 } },
    { Sequence: { id: 'A', type_id: 0 } },
    { SpecialToken: { id: end, type_id: 0 } },
  ],
  pair: [],
  special_tokens: Object.fromEntries(
    [begin, end].map((token) => [token, { id: token, ids: [vocab[token]], tokens: [token] }]),
  ),
});
