import { z } from 'zod';
import type { Manifest } from '../../contract/model.ts';
import { type DescribePipeline, PLAIN_INPUT } from '../definition.ts';
import { imageField } from '../shared/image-header.ts';
import { manifestOptions } from '../shared/manifest-options.ts';
import { type ModelFacts, modelFacts } from './model-facts.ts';
import { FLOW_SAMPLERS, type SamplerName, SAMPLERS } from './samplers/config.ts';

const MAX_PROMPT_CHARS = 4000;
const MAX_SIZE = 8192;

const settingsSchema = z.strictObject({
  /** What a run takes that does not say otherwise. */
  num_inference_steps: z.int().min(1).max(1000).optional(),
  guidance_scale: z.number().min(0).max(50).optional(),
  width: z.int().min(8).max(MAX_SIZE).optional(),
  height: z.int().min(8).max(MAX_SIZE).optional(),
  /** The smallest and the largest width and height. */
  min_size: z.int().min(8).max(MAX_SIZE).optional(),
  max_size: z.int().min(8).max(MAX_SIZE).optional(),
  /** Widths and heights are multiples of it. */
  size_multiple: z.int().min(1).max(512).optional(),
  max_steps: z.int().min(1).max(1000).default(150),
  max_outputs: z.int().min(1).max(100).default(10),
  /** The most steps × pixels × outputs of one run. */
  max_pixel_steps: z.int().min(1).optional(),
  /** For trying out: each step takes so much longer. */
  step_delay_ms: z.int().min(0).max(10_000).default(0),
});

/** The options of a manifest, with the defaults that follow from the model. */
export interface DiffusionSettings {
  readonly steps: number;
  readonly guidance: number;
  readonly width: number;
  readonly height: number;
  readonly minSize: number;
  readonly maxSize: number;
  readonly multiple: number;
  readonly maxSteps: number;
  readonly maxOutputs: number;
  readonly maxPixelSteps: number;
  readonly stepDelayMs: number;
}

/** diffusers multiplies sizes by at least this. */
const MIN_MULTIPLE = 8;
/** So many pictures of the usual size, at so many steps, may one run make. */
const USUAL_RUNS = 500;

/** Throws an error that says which option of the manifest is wrong. */
export function settingsOf(
  manifest: Pick<Manifest, 'options'>,
  facts: ModelFacts,
): DiffusionSettings {
  const given = manifestOptions(manifest, settingsSchema);
  const { pixelsPerLatent: scale, fixedSize, latentSize, latentMultiple } = facts;
  const usual = latentSize * scale;
  const [width, height] =
    fixedSize === null
      ? [given.width ?? usual, given.height ?? usual]
      : [fixedSize.width * scale, fixedSize.height * scale];
  const multiple = given.size_multiple ?? Math.max(MIN_MULTIPLE, latentMultiple * scale);
  if (multiple % scale !== 0) {
    throw new Error(`options.size_multiple: must be a multiple of ${scale}`);
  }
  const { steps, guidance } = usualRun(facts);
  const settings = {
    steps: given.num_inference_steps ?? steps,
    guidance: given.guidance_scale ?? guidance,
    width,
    height,
    minSize: given.min_size ?? multiple,
    maxSize: given.max_size ?? 2 * Math.max(width, height),
    multiple,
    maxSteps: given.max_steps,
    maxOutputs: given.max_outputs,
    maxPixelSteps: given.max_pixel_steps ?? USUAL_RUNS * width * height,
    stepDelayMs: given.step_delay_ms,
  };
  if (width % multiple !== 0 || height % multiple !== 0) {
    throw new Error(`options.width, options.height: must be multiples of ${multiple}`);
  }
  if (settings.steps > settings.maxSteps) {
    throw new Error('options.num_inference_steps: must be at most max_steps');
  }
  return settings;
}

/** As the pipelines of diffusers have it. */
function usualRun({ className, isXl, scheduler }: ModelFacts): {
  readonly steps: number;
  readonly guidance: number;
} {
  const isLcm = className.startsWith('LatentConsistency') || scheduler.name === 'lcm';
  if (isLcm) return { steps: 4, guidance: 8.5 };
  return { steps: 50, guidance: isXl ? 5 : 7.5 };
}

const imageSchema = z.object({
  url: z.string().describe('Where the image is; in the output of a batch a data URL.'),
  bytes: z.int(),
  sha256: z.string(),
  media_type: z.string(),
  width: z.int(),
  height: z.int(),
  flagged: z
    .boolean()
    .nullable()
    .describe(
      'Whether the safety checker of the model has blackened it; null: the model has no such checker.',
    ),
});

const outputSchema = z.object({
  seed: z.int().describe('With it and the same options, the same images come again.'),
  images: z.array(imageSchema),
});

/** Of a run, with all defaults. */
export interface DiffusionOptions {
  readonly width: number;
  readonly height: number;
  readonly num_inference_steps: number;
  readonly guidance_scale: number;
  readonly scheduler: SamplerName;
  readonly eta: number;
  readonly seed?: number;
  readonly num_outputs: number;
  readonly output_format: 'png' | 'webp' | 'jpeg';
  readonly output_quality: number;
  readonly metadata: boolean;
  readonly strength?: number;
}

export const describeDiffusion: DescribePipeline = (manifest, graphs, configs) => {
  const facts = modelFacts(manifest, graphs, configs);
  const settings = settingsOf(manifest, facts);
  return {
    ...PLAIN_INPUT,
    example: { prompt: 'a handwritten seven' },
    input: z.strictObject({
      prompt: prompt.min(1).refine((text) => text.trim() !== '', 'must not be empty'),
      negative_prompt: prompt.default('').describe('What the image shall not show.'),
      ...(facts.canStartFromImage ? { image } : {}),
    }),
    options: optionsSchema(facts, settings),
    output: outputSchema,
    media: facts.canStartFromImage ? { image: imageField } : {},
    streaming: { kind: 'images' },
    batchKey: null,
  };
};

const prompt = z.string().max(MAX_PROMPT_CHARS);

const image = z
  .string()
  .optional()
  .describe('The run begins with this image rather than with noise alone; see `strength`.');

function optionsSchema(facts: ModelFacts, settings: DiffusionSettings): z.ZodObject {
  const { note, name } = facts.scheduler;
  const size = (usual: number) =>
    z
      .int()
      .min(settings.minSize)
      .max(settings.maxSize)
      .multipleOf(settings.multiple, `must be a multiple of ${settings.multiple}`)
      .default(usual);
  const names = name === 'flow_match_euler' ? FLOW_SAMPLERS : SAMPLERS;
  const shape = z.strictObject({
    width: size(settings.width).describe('In pixels.'),
    height: size(settings.height).describe('In pixels.'),
    num_inference_steps: z.int().min(1).max(settings.maxSteps).default(settings.steps),
    guidance_scale: z
      .number()
      .min(0)
      .max(50)
      .default(settings.guidance)
      .describe('How closely the image follows the prompt; up to 1: without guidance.'),
    scheduler: z
      .enum(names)
      .default(name)
      .describe(`The sampler.${note === null ? '' : ` Of this model: ${note}.`}`),
    eta: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe('Only for ddim: how much noise each step adds.'),
    seed: z
      .int()
      .min(0)
      .optional()
      .describe('The same seed gives the same images. When absent, one is drawn.'),
    num_outputs: z.int().min(1).max(settings.maxOutputs).default(1),
    output_format: z.enum(['png', 'webp', 'jpeg']).default('png'),
    output_quality: z.int().min(1).max(100).default(90).describe('Of webp and jpeg.'),
    metadata: z
      .boolean()
      .default(true)
      .describe('Whether a PNG says in a text chunk how it was made.'),
    ...(facts.canStartFromImage
      ? {
          strength: z
            .number()
            .gt(0)
            .max(1)
            .default(0.8)
            .describe('How much of the given image is replaced; 1: all of it.'),
        }
      : {}),
  });
  return shape.refine(
    (options) => pixelSteps(options) <= settings.maxPixelSteps,
    `num_inference_steps × width × height × num_outputs must be at most ${settings.maxPixelSteps}`,
  );
}

const pixelSteps = (options: {
  width: number;
  height: number;
  num_inference_steps: number;
  num_outputs: number;
}): number => options.num_inference_steps * options.width * options.height * options.num_outputs;
