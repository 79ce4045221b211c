/*
 * A language model of two small layers with random weights, in the layout of Hugging Face's hub: what it writes is
 * babble, but it is written as a large model writes, token after token with a cache of keys and values.
 */
import { randomWeights, workLoop, WORK_WIDTH, workWeights } from './example-graphs.ts';
import {
  ELEMENT,
  floats,
  integerAttribute,
  integers,
  integersAttribute,
  modelBytes,
  type Node,
  type Weights,
} from './writer.ts';

const LAYERS = 2;
const WIDTH = 48;
const HEADS = 3;
const HEAD_WIDTH = WIDTH / HEADS;
const INNER_WIDTH = 96;

const SPECIALS = ['<unk>', '<s>', '</s>'];
const CHARACTERS = [
  '\n',
  ...Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index)),
];
const SYLLABLES = Array.from('bdgklmnprstv').flatMap((first) =>
  Array.from('aeiou').map((vowel) => first + vowel),
);
const TOKENS = [...SPECIALS, ...CHARACTERS, ...SYLLABLES, ...SYLLABLES.map((each) => ` ${each}`)];
const END = 2;

export interface LanguageModelOptions {
  /** How many tokens prompt and text have together at most. */
  readonly context: number;
  /** How often each token multiplies a matrix for nothing, about 20 µs a time; 0: not at all. */
  readonly work: number;
}

/** The files of the model but its manifest, by path. */
export function languageModelFiles(
  options: LanguageModelOptions,
): Readonly<Record<string, Uint8Array | object>> {
  const special = { bos_token_id: 1, eos_token_id: END, pad_token_id: END };
  return {
    'config.json': {
      model_type: 'llama',
      architectures: ['LlamaForCausalLM'],
      hidden_size: WIDTH,
      intermediate_size: INNER_WIDTH,
      num_hidden_layers: LAYERS,
      num_attention_heads: HEADS,
      num_key_value_heads: HEADS,
      head_dim: HEAD_WIDTH,
      vocab_size: TOKENS.length,
      max_position_embeddings: options.context,
      ...special,
    },
    'generation_config.json': { ...special, do_sample: true, temperature: 0.8 },
    'tokenizer.json': tokenizer(),
    'tokenizer_config.json': {
      tokenizer_class: 'PreTrainedTokenizerFast',
      add_bos_token: true,
      bos_token: '<s>',
      eos_token: '</s>',
      unk_token: '<unk>',
      pad_token: '</s>',
      model_max_length: options.context,
      clean_up_tokenization_spaces: false,
      padding_side: 'left',
      chat_template: CHAT_TEMPLATE,
    },
    'onnx/model.onnx': graph(options),
  };
}

const CHAT_TEMPLATE =
  "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}" +
  '{% if add_generation_prompt %}assistant:{% endif %}';

/** Each character of a prompt is a token; syllables are only written. */
function tokenizer(): object {
  const special = (content: string, id: number) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIALS.map(special),
    normalizer: null,
    pre_tokenizer: {
      type: 'Split',
      pattern: { Regex: String.raw`[\s\S]` },
      behavior: 'Isolated',
      invert: false,
    },
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 0 } }],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: { type: 'Fuse' },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(TOKENS.map((token, id) => [token, id])),
      merges: [],
    },
  };
}

/** How much more often a token comes: syllables often, single characters rarely, specials never. */
function biasOf(token: string): number {
  if (SPECIALS.includes(token)) return -1e4;
  if (token.length === 1) return token === '.' ? -2 : -8;
  return token.startsWith(' ') ? 0.5 : 0;
}

function graph({ context, work }: LanguageModelOptions): Uint8Array {
  const build = new GraphBuilder();
  build.embed(context);
  if (work > 0) build.work(work);
  build.mask();
  const caches = [];
  for (let layer = 0; layer < LAYERS; layer += 1) {
    caches.push(...build.attend(layer));
    build.think(layer);
  }
  build.answer();
  const tokens = { type: ELEMENT.INT64, shape: ['batch', 'length'] };
  const cache = (name: string, length: string) => ({
    name,
    type: ELEMENT.FP32,
    shape: ['batch', HEADS, length, HEAD_WIDTH],
  });
  const logits = { type: ELEMENT.FP32, shape: ['batch', 'length', TOKENS.length] };
  return modelBytes({
    name: 'babble',
    nodes: build.nodes,
    weights: build.weights,
    inputs: [
      { name: 'input_ids', ...tokens },
      { name: 'attention_mask', type: ELEMENT.INT64, shape: ['batch', 'total'] },
      { name: 'position_ids', ...tokens },
      ...caches.map((name) => cache(`past_key_values.${name}`, 'past')),
    ],
    outputs: [
      { name: 'logits', ...logits },
      ...caches.map((name) => cache(`present.${name}`, 'total')),
    ],
  });
}

/** Adds the nodes of one part after the other; `x` is the state of each token. */
class GraphBuilder {
  readonly nodes: Node[] = [];
  readonly weights: Weights[] = [];
  #x = '';
  #mask = '';
  #seed = 0;

  /** The state of a token is what it is and where it stands. */
  embed(context: number): void {
    const token = this.#op('Gather', [
      this.#random('tokens', [TOKENS.length, WIDTH], 1.7),
      'input_ids',
    ]);
    const place = this.#op('Gather', [
      this.#random('places', [context, WIDTH], 0.5),
      'position_ids',
    ]);
    this.#x = this.#op('Add', [token, place]);
  }

  /** Takes time and changes nothing: zero times the result is added. */
  work(times: number): void {
    this.weights.push(...workWeights(), integers('times', [], times));
    this.weights.push(floats('work', [1, WORK_WIDTH], new Float32Array(WORK_WIDTH).fill(0.1)));
    const state = { type: ELEMENT.FP32, shape: [1, WORK_WIDTH] };
    this.nodes.push(workLoop(state, { times: 'times', from: 'work', to: 'worked' }));
    const sum = this.#op('ReduceSum', ['worked'], [integerAttribute('keepdims', 0)]);
    this.#x = this.#op('Add', [this.#x, this.#op('Mul', [sum, this.#number('zero', 0)])]);
  }

  /** A token sees those before it that are no padding. */
  mask(): void {
    const one = this.#integer('one', [], 1);
    const total = this.#op('Gather', [this.#op('Shape', ['attention_mask']), one]);
    const length = this.#op('Gather', [this.#op('Shape', ['input_ids']), one]);
    const none = this.#integer('none', [], 0);
    const keys = this.#op('Range', [none, total, one]);
    const queries = this.#op('Range', [this.#op('Sub', [total, length]), total, one]);
    const row = this.#op('Unsqueeze', [keys, this.#integer('first', [1], 0)]);
    const column = this.#op('Unsqueeze', [queries, this.#integer('second', [1], 1)]);
    const isLater = this.#op('Greater', [row, column]);
    const isPadding = this.#op('Equal', [
      this.#op('Unsqueeze', ['attention_mask', this.#integer('middle', [2], 1, 2)]),
      none,
    ]);
    const isHidden = this.#op('Or', [isLater, isPadding]);
    const [low, zero] = [this.#number('low', -1e9), this.#number('nothing', 0)];
    this.#mask = this.#op('Where', [isHidden, low, zero]);
  }

  /** Attention; returns the names of its caches, without what stands before them. */
  attend(layer: number): readonly string[] {
    const x = this.#normalized();
    const split = this.#integer(`split${layer}`, [4], 0, 0, HEADS, HEAD_WIDTH);
    const heads = (what: string) => {
      const weights = this.#random(`${what}${layer}`, [WIDTH, WIDTH], Math.sqrt(3 / WIDTH));
      const rows = this.#op('Reshape', [this.#op('MatMul', [x, weights]), split]);
      return this.#op('Transpose', [rows], [integersAttribute('perm', 0, 2, 1, 3)]);
    };
    const query = heads('query');
    const [keys, values] = ['key', 'value'].map((what) => {
      const present = `present.${layer}.${what}`;
      const past = `past_key_values.${layer}.${what}`;
      return this.#op('Concat', [past, heads(what)], [integerAttribute('axis', 2)], present);
    }) as [string, string];
    const turned = this.#op('Transpose', [keys], [integersAttribute('perm', 0, 1, 3, 2)]);
    const scale = this.#number(`scale${layer}`, 1 / Math.sqrt(HEAD_WIDTH));
    const scores = this.#op('Mul', [this.#op('MatMul', [query, turned]), scale]);
    const masked = this.#op('Add', [scores, this.#mask]);
    const shares = this.#op('Softmax', [masked], [integerAttribute('axis', -1)]);
    const seen = this.#op('MatMul', [shares, values]);
    const back = this.#op('Transpose', [seen], [integersAttribute('perm', 0, 2, 1, 3)]);
    const rows = this.#op('Reshape', [back, this.#integer(`join${layer}`, [3], 0, 0, WIDTH)]);
    this.#addToX(rows, `out${layer}`, WIDTH);
    return [`${layer}.key`, `${layer}.value`];
  }

  think(layer: number): void {
    const weights = this.#random(`in${layer}`, [WIDTH, INNER_WIDTH], Math.sqrt(3 / WIDTH));
    const inner = this.#op('MatMul', [this.#normalized(), weights]);
    const bent = this.#op('Mul', [inner, this.#op('Sigmoid', [inner])]);
    this.#addToX(bent, `think${layer}`, INNER_WIDTH);
  }

  answer(): void {
    const weights = this.#random('head', [WIDTH, TOKENS.length], 0.5);
    const scores = this.#op('MatMul', [this.#normalized(), weights]);
    this.weights.push(floats('bias', [TOKENS.length], Float32Array.from(TOKENS, biasOf)));
    this.#op('Add', [scores, 'bias'], [], 'logits');
  }

  #addToX(rows: string, name: string, width: number): void {
    const weights = this.#random(name, [width, WIDTH], Math.sqrt(3 / width));
    this.#x = this.#op('Add', [this.#x, this.#op('MatMul', [rows, weights])]);
  }

  /** Root mean square normalization. */
  #normalized(): string {
    const square = this.#op('Mul', [this.#x, this.#x]);
    const mean = this.#op('ReduceMean', [square], [integersAttribute('axes', -1)]);
    return this.#op('Div', [this.#x, this.#op('Sqrt', [this.#op('Add', [mean, this.#epsilon()])])]);
  }

  #epsilon(): string {
    const isThere = this.weights.some(({ name }) => name === 'epsilon');
    return isThere ? 'epsilon' : this.#number('epsilon', 1e-5);
  }

  #op(
    op: string,
    inputs: readonly string[],
    attributes: NonNullable<Node['attributes']> = [],
    output = `${op}${this.nodes.length}`,
  ): string {
    this.nodes.push({ op, inputs, outputs: [output], attributes });
    return output;
  }

  #random(name: string, shape: readonly [number, number], scale: number): string {
    this.#seed += 1;
    const [rows, columns] = shape;
    this.weights.push(floats(name, shape, randomWeights(rows * columns, scale, this.#seed)));
    return name;
  }

  #number(name: string, value: number): string {
    this.weights.push(floats(name, [], Float32Array.of(value)));
    return name;
  }

  #integer(name: string, shape: readonly number[], ...values: number[]): string {
    this.weights.push(integers(name, shape, ...values));
    return name;
  }
}
