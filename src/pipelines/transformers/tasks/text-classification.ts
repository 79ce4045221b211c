import { z } from 'zod';
import {
  inputsOf,
  type Scores,
  scoresSchema,
  textSchema,
  TOKENIZER_FILES,
  topKSchema,
  type TransformersTask,
} from '../task.ts';

/** Which label a text has: sentiment, topic, language … */
export const textClassification: TransformersTask = {
  settings: {},
  files: TOKENIZER_FILES,
  schema: {
    input: z.strictObject({ inputs: textSchema().describe('The text.') }),
    options: z.strictObject({ top_k: topKSchema }),
    output: scoresSchema,
    media: {},
    example: { inputs: 'What a wonderful day!' },
  },
  textOf: (input) => inputsOf({ input }),
  async run(items, { pipe }) {
    // Of all labels the library answers with one list for each text, also when there is one text.
    const all = (await pipe(items.map(inputsOf), { top_k: null })) as Scores[];
    return all.map((scores, index) => scores.slice(0, Number(items[index]?.options['top_k'])));
  },
};
