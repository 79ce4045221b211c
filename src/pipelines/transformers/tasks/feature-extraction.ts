import { z } from 'zod';
import type { PipelineInput } from '../../definition.ts';
import { textSchema, TOKENIZER_FILES, type Tools, type TransformersTask } from '../task.ts';

const MAX_TEXTS = 256;
const MAX_TOKENS = 65_536;
/** So many texts run as one. */
const CHUNK = 16;

const tokensSchema = z.array(z.int().min(0)).min(1);
/** What is too much is refused before each element is looked at. */
const inputsSchema = z
  .unknown()
  .refine((inputs) => !Array.isArray(inputs) || inputs.length <= MAX_TEXTS, {
    message: `must be at most ${MAX_TEXTS} texts`,
    abort: true,
  })
  .refine((inputs) => !Array.isArray(inputs) || inputs.flat().length <= MAX_TOKENS, {
    message: `must be at most ${MAX_TOKENS} tokens`,
    abort: true,
  })
  .pipe(z.union([textSchema(), z.array(textSchema()).min(1), z.array(tokensSchema).min(1)]));

type Inputs = z.infer<typeof inputsSchema>;

/** An embedding: the numbers that stand for a text. */
export const featureExtraction: TransformersTask = {
  settings: {
    pooling: z.enum(['mean', 'cls', 'last_token']).default('mean'),
    normalize: z.boolean().default(true),
  },
  files: TOKENIZER_FILES,
  schema: {
    input: z.strictObject({
      inputs: inputsSchema.describe('The text, several texts, or texts as tokens of the model.'),
    }),
    options: z.strictObject({}),
    output: z
      .union([z.array(z.number()), z.array(z.array(z.number()))])
      .describe('The embedding of the text; of several texts, theirs in their order.'),
    media: {},
    example: { inputs: 'What a wonderful day!' },
  },
  textOf: ({ inputs }) => [inputs as Inputs].flat(2).join(' '),
  async run(items, tools, contexts) {
    const { tokenizer } = tools.pipe as unknown as { readonly tokenizer: Tokenizer };
    const texts = items.map((item) => textsOf(item, tokenizer));
    const embeddings = (await embed(texts.flat(), tools)).values();
    return items.map(({ input }, index) => {
      const own = (texts[index] ?? []).map(() => embeddings.next().value ?? []);
      const lengths = (texts[index] ?? []).map((text) => tokenizer.encode(text).length);
      const prompt = lengths.reduce((sum, length) => sum + length, 0);
      contexts[index]?.count({ prompt, completion: 0, per_second: null });
      return typeof input['inputs'] === 'string' ? (own[0] ?? []) : own;
    });
  },
};

interface Tokenizer {
  encode(text: string): readonly number[];
  decode(ids: readonly number[], options: object): string;
}

interface Tensor {
  tolist(): number[][];
  dispose(): void;
}

const textsOf = (
  { input }: Pick<PipelineInput, 'input'>,
  tokenizer: Tokenizer,
): readonly string[] =>
  [input['inputs'] as Exclude<Inputs, string> | string]
    .flat()
    .map((each) =>
      typeof each === 'string' ? each : tokenizer.decode(each, { skip_special_tokens: true }),
    );

/** Quantized weights answer differently in a batch than alone: then each text runs alone. */
async function embed(
  texts: readonly string[],
  { pipe, settings }: Tools,
): Promise<readonly number[][]> {
  const { pooling, normalize, dtype, batch_changes_answers: mayChange } = settings;
  const size = dtype === 'fp32' || mayChange === true ? CHUNK : 1;
  const embeddings: number[][] = [];
  for (let from = 0; from < texts.length; from += size) {
    const tensor = (await pipe(texts.slice(from, from + size), { pooling, normalize })) as Tensor;
    embeddings.push(...tensor.tolist());
    tensor.dispose();
  }
  return embeddings;
}
