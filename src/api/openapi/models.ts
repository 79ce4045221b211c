/* What is answered of models. */
import { z } from 'zod';
import { jsonObject, pageOf } from './answers.ts';

/** One that cannot be served says less. */
export const modelAnswer = z
  .looseObject({
    object: z.literal('model'),
    name: z.string(),
    version: z.int().min(1),
    state: z.enum(['ready', 'loading', 'idle', 'unavailable', 'no_worker']),
    reason: z.string().nullable(),
    workers: z.array(z.looseObject({ worker: z.string() })),
    input_schema: jsonObject.optional(),
    options_schema: jsonObject.optional(),
    output_schema: jsonObject.optional(),
    output_forms: z
      .array(z.string())
      .optional()
      .describe(
        'Media types that `/output` answers with besides JSON, when `Accept` asks for them.',
      ),
  })
  .meta({ id: 'Model' });

export const modelsAnswer = pageOf(modelAnswer).extend({
  problems: z
    .array(z.string())
    .describe('What lies in the folders of models and is served by nobody, and why.'),
});
