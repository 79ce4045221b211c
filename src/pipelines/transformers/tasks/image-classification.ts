import type { Media } from '../../definition.ts';
import { z } from 'zod';
import { imageField } from '../../shared/image-header.ts';
import { type Scores, scoresSchema, topKSchema, type TransformersTask } from '../task.ts';

/** Which label an image has. */
export const imageClassification: TransformersTask = {
  settings: {},
  files: ['preprocessor_config.json'],
  schema: {
    input: z.strictObject({
      inputs: z
        .string()
        .describe(
          'A PNG, JPEG, TIFF (its first page) or WebP image, as a data URL or an https URL.',
        ),
    }),
    options: z.strictObject({ top_k: topKSchema }),
    output: scoresSchema,
    media: { inputs: imageField },
    example: null,
  },
  textOf: null,
  async run(items, { pipe, readImage }) {
    return await Promise.all(
      items.map(async ({ input, options }) => {
        const image = await readImage(input['inputs'] as Media);
        return (await pipe(image, { top_k: options['top_k'] })) as Scores;
      }),
    );
  },
};
