/*
 * What a task of the `transformers` pipeline is. A file in tasks/ has both halves of one: what the API validates
 * and documents, and what a model process does with the library's pipeline, which it is given.
 */
import { z } from 'zod';
import type { Json } from '../../contract/payload.ts';
import type { InferenceContext, PipelineInput, PipelineSchema, Media } from '../definition.ts';

/** A pipeline that the library has opened: an input or several, and what the library calls options. */
export type LibraryPipeline = (input: unknown, options?: object) => Promise<unknown>;

export interface Tools {
  readonly pipe: LibraryPipeline;
  /** The options of the manifest. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** The bytes of an image, as the library takes images. Throws `InvalidInputError`. */
  readonly readImage: (media: Media) => Promise<unknown>;
  /** The samples of a recording, 16 kHz mono. Throws `InvalidInputError`. */
  readonly readAudio: (media: Media) => Promise<Float32Array>;
  /** What a network takes as the tokens of one text. */
  readonly toTokens: (ids: readonly number[]) => object;
}

export interface TransformersTask {
  /** What the manifest's options may hold beside `task` and `dtype`. */
  readonly settings: z.ZodRawShape;
  /** The files of the version that the task cannot do without, besides config.json and the graph. */
  readonly files: readonly string[];
  /** The graphs that its networks may consist of; absent: one, `model`. */
  readonly graphs?: readonly (readonly string[])[];
  readonly schema: Pick<PipelineSchema, 'input' | 'options' | 'output' | 'media' | 'example'> &
    Partial<Pick<PipelineSchema, 'streaming'>>;
  /** The text by whose length inputs share a batch; null: each input runs by itself. */
  readonly textOf: ((input: PipelineInput['input']) => string) | null;
  /** Runs inputs as one, each with its context. The outputs are in their order. */
  run(
    items: readonly PipelineInput[],
    tools: Tools,
    contexts: readonly InferenceContext[],
  ): Promise<readonly Json[]>;
}

export const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer_config.json'] as const;

const MAX_TEXT_CHARS = 100_000;
/** The most that a text generation may be asked for. */
export const MAX_NEW_TOKENS = 32_768;

/** Text as a tokenizer takes it. It would take a NUL and halves of characters too, and answer something. */
export const textSchema = (maxChars = MAX_TEXT_CHARS) =>
  z
    .string()
    .min(1, 'must not be empty')
    .max(maxChars)
    .refine((text) => !text.includes('\0'), 'must not contain NUL')
    .refine((text) => !/\p{Surrogate}/u.test(text), 'must be whole Unicode characters');

/** Labels with their probabilities, the most probable first. */
export const scoresSchema = z.array(
  z.object({ label: z.string(), score: z.number().min(0).max(1) }),
);

export type Scores = z.infer<typeof scoresSchema>;

/** An option of classifications. */
export const topKSchema = z
  .int()
  .min(1)
  .max(1000)
  .default(5)
  .describe('At most so many labels, the most probable ones.');

/** The text in the field that Hugging Face's Inference API calls `inputs`. */
export const inputsOf = ({ input }: Pick<PipelineInput, 'input'>): string =>
  String(input['inputs']);
