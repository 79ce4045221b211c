import { z } from 'zod';
import { inputsOf, textSchema, TOKENIZER_FILES, type TransformersTask } from '../task.ts';

interface Tensor {
  tolist(): number[][];
  dispose(): void;
}

/** An embedding: the numbers that stand for a text. */
export const featureExtraction: TransformersTask = {
  settings: {
    pooling: z.enum(['mean', 'cls', 'last_token']).default('mean'),
    normalize: z.boolean().default(true),
  },
  files: TOKENIZER_FILES,
  schema: {
    input: z.strictObject({ inputs: textSchema.describe('The text.') }),
    options: z.strictObject({}),
    output: z.array(z.number()),
    media: {},
    example: { inputs: 'What a wonderful day!' },
  },
  textOf: (input) => inputsOf({ input }),
  async run(items, { pipe, settings: { pooling, normalize } }) {
    const tensor = (await pipe(items.map(inputsOf), { pooling, normalize })) as Tensor;
    const embeddings = tensor.tolist();
    tensor.dispose();
    return embeddings;
  },
};
