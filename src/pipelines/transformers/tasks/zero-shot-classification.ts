import { z } from 'zod';
import {
  inputsOf,
  scoresSchema,
  textSchema,
  TOKENIZER_FILES,
  type TransformersTask,
} from '../task.ts';

const MAX_LABELS = 100; // each costs a run

/** How well labels that come with the text fit to it: a model of entailment is asked about each. */
export const zeroShotClassification: TransformersTask = {
  settings: {},
  files: TOKENIZER_FILES,
  schema: {
    input: z.strictObject({
      inputs: textSchema().describe('The text.'),
      candidate_labels: z.array(textSchema(200)).min(1).max(MAX_LABELS),
      hypothesis_template: textSchema(500)
        .refine((template) => template.includes('{}'), 'must contain {}')
        .default('This example is {}.')
        .describe('What is asked about each label, which takes the place of {}.'),
    }),
    options: z.strictObject({
      multi_label: z
        .boolean()
        .default(false)
        .describe('true: each label has a probability of its own; false: they add up to 1.'),
    }),
    output: scoresSchema,
    media: {},
    example: { inputs: 'My parcel has not arrived.', candidate_labels: ['delivery', 'payment'] },
  },
  textOf: null,
  async run(items, { pipe }) {
    return await Promise.all(
      items.map(async (item) => {
        const { candidate_labels: labels, hypothesis_template: template } = item.input;
        const options = { hypothesis_template: template, multi_label: item.options['multi_label'] };
        const found = await (pipe as unknown as ZeroShotPipeline)(inputsOf(item), labels, options);
        return found.labels.map((label, index) => ({ label, score: found.scores[index] ?? 0 }));
      }),
    );
  },
};

type ZeroShotPipeline = (
  text: string,
  labels: unknown,
  options: object,
) => Promise<{ readonly labels: readonly string[]; readonly scores: readonly number[] }>;
