/* What OpenAI's dialect reads of a text generation and its prediction. */
import type { z } from 'zod';
import type { Json } from '../../contract/payload.ts';
import type { Metrics, TokenCount } from '../../contract/prediction.ts';
import { generatedSchema } from '../../pipelines/index.ts';

/** The output of a text generation. */
export const generatedIn = (output: Json): z.infer<typeof generatedSchema> =>
  generatedSchema.parse(output);

/** OpenAI's times are whole seconds. */
export const secondsOf = (time: string): number => Math.floor(Date.parse(time) / 1000);

/** How many tokens a prediction has taken. */
export const tokensOf = ({ tokens }: Metrics): TokenCount =>
  tokens ?? { prompt: 0, completion: 0, per_second: null };
