import { z } from 'zod';
import { inputsOf, textSchema, TOKENIZER_FILES, type TransformersTask } from '../task.ts';

interface Tensor {
  tolist(): number[][];
  dispose(): void;
}

interface Tokenizer {
  encode(text: string): readonly number[];
}

/** An embedding: the numbers that stand for a text. */
export const featureExtraction: TransformersTask = {
  settings: {
    pooling: z.enum(['mean', 'cls', 'last_token']).default('mean'),
    normalize: z.boolean().default(true),
  },
  files: TOKENIZER_FILES,
  schema: {
    input: z.strictObject({ inputs: textSchema().describe('The text.') }),
    options: z.strictObject({}),
    output: z.array(z.number()),
    media: {},
    example: { inputs: 'What a wonderful day!' },
  },
  textOf: (input) => inputsOf({ input }),
  async run(items, { pipe, settings: { pooling, normalize } }, contexts) {
    const tensor = (await pipe(items.map(inputsOf), { pooling, normalize })) as Tensor;
    const embeddings = tensor.tolist();
    tensor.dispose();
    const { tokenizer } = pipe as unknown as { readonly tokenizer: Tokenizer };
    for (const [index, context] of contexts.entries()) {
      const prompt = tokenizer.encode(inputsOf(items[index] ?? { input: {} })).length;
      context.count({ prompt, completion: 0, per_second: null });
    }
    return embeddings;
  },
};
