import { z } from 'zod';
import type { Manifest } from '../../contract/model.ts';
import { type DescribePipeline, PLAIN_INPUT } from '../definition.ts';
import { imageField } from '../shared/image-header.ts';
import { manifestOptions } from '../shared/manifest-options.ts';
import { type ModelFacts, modelFacts } from './model-facts.ts';
import { FLOW_SAMPLERS, mostSteps, type SamplerName, SAMPLERS } from './samplers/config.ts';

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

/** A width or a height. */
interface Side {
  readonly usual: number;
  readonly min: number;
  readonly max: number;
}

/** The options of a manifest, with the defaults that follow from the model. */
export interface DiffusionSettings {
  readonly steps: number;
  readonly guidance: number;
  readonly width: Side;
  readonly height: Side;
  readonly multiple: number;
  readonly maxSteps: number;
  readonly maxOutputs: number;
  readonly maxPixelSteps: number;
  readonly stepDelayMs: number;
}

/** diffusers multiplies sizes by at least this. */
const MIN_MULTIPLE = 8;
/** So many steps may one run make in all, for images of the usual size. */
const USUAL_STEPS = 500;

/** Throws an error that says which option of the manifest is wrong. */
export function settingsOf(
  manifest: Pick<Manifest, 'options'>,
  facts: ModelFacts,
): DiffusionSettings {
  const given = manifestOptions(manifest, settingsSchema);
  const { pixelsPerLatent: scale, latentMultiple, scheduler } = facts;
  const multiple = given.size_multiple ?? Math.max(MIN_MULTIPLE, latentMultiple * scale);
  if (multiple % scale !== 0) {
    throw new Error(`options.size_multiple: must be a multiple of ${scale}`);
  }
  const [width, height] = (['width', 'height'] as const).map((name) => {
    return sideOf(name, given, facts, multiple);
  }) as [Side, Side];
  const { steps, guidance } = usualRun(facts);
  const maxSteps = Math.min(given.max_steps, scheduler.config.num_train_timesteps);
  const settings = {
    steps: given.num_inference_steps ?? Math.min(steps, maxSteps),
    guidance: given.guidance_scale ?? guidance,
    width,
    height,
    multiple,
    maxSteps,
    maxOutputs: given.max_outputs,
    maxPixelSteps: given.max_pixel_steps ?? USUAL_STEPS * width.usual * height.usual,
    stepDelayMs: given.step_delay_ms,
  };
  if (settings.steps > maxSteps) {
    throw new Error(`options.num_inference_steps: must be at most ${maxSteps}`);
  }
  return settings;
}

function sideOf(
  name: 'width' | 'height',
  given: z.infer<typeof settingsSchema>,
  { fixedSize, latentSize, pixelsPerLatent }: ModelFacts,
  multiple: number,
): Side {
  if (fixedSize !== null) {
    const only = fixedSize[name] * pixelsPerLatent;
    return { usual: only, min: only, max: only };
  }
  const usual = given[name] ?? latentSize[name] * pixelsPerLatent;
  const side = { usual, min: given.min_size ?? multiple, max: given.max_size ?? 2 * usual };
  if (usual % multiple !== 0) throw new Error(`options.${name}: must be a multiple of ${multiple}`);
  if (usual >= side.min && usual <= side.max) return side;
  throw new Error(`options.${name}: must be from ${side.min} (min_size) to ${side.max} (max_size)`);
}

/** As the pipelines of diffusers have it. */
function usualRun({ className, isXl, scheduler, guidanceWidth }: ModelFacts): {
  readonly steps: number;
  readonly guidance: number;
} {
  const isLcm = className.startsWith('LatentConsistency') || scheduler.name === 'lcm';
  const guidance = isXl ? 5 : 7.5;
  return { steps: isLcm ? 4 : 50, guidance: guidanceWidth === null ? guidance : 8.5 };
}

const imageSchema = z.object({
  url: z.string().describe('Where the image is; in the output of a batch a data URL.'),
  bytes: z.int().min(1),
  sha256: z.string(),
  media_type: z.string(),
  width: z.int().min(1),
  height: z.int().min(1),
  flagged: z
    .boolean()
    .nullable()
    .describe(
      'Whether the safety checker of the model has blackened it; null: the model has no such checker.',
    ),
});

const outputSchema = z.object({
  seed: z.int().min(0).describe('With it and the same options, the same images come again.'),
  images: z.array(imageSchema),
});

/** The options of one run; defaults are filled in. */
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

/** Throws an error that says what does not fit in the manifest, the graphs or the configs. */
export const describeDiffusion: DescribePipeline = (manifest, graphs, configs) => {
  const facts = modelFacts(manifest, graphs, configs);
  const settings = settingsOf(manifest, facts);
  return {
    ...PLAIN_INPUT,
    example: { prompt: 'a handwritten seven' },
    input: z.strictObject({
      prompt: prompt
        .refine((text) => text.trim() !== '', 'must not be empty')
        .describe('What the image shall show. What is longer than the model reads is cut.'),
      negative_prompt: prompt
        .optional()
        .describe(
          'What the image shall not show; without effect when guidance_scale is at most 1.',
        ),
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
  .describe(
    'The run begins with this image rather than with noise alone; see `strength`. What does not fit the width and height is cut off.',
  );

/** How an image comes. */
const FORMAT = {
  output_format: z.enum(['png', 'webp', 'jpeg']).default('png'),
  output_quality: z.int().min(1).max(100).default(90).describe('Of webp and jpeg.'),
  metadata: z
    .boolean()
    .default(true)
    .describe('Whether a PNG says in a text chunk how it was made.'),
} as const;

function optionsSchema(facts: ModelFacts, settings: DiffusionSettings): z.ZodObject {
  const { note, name } = facts.scheduler;
  const size = ({ usual, min, max }: Side) =>
    z
      .int()
      .min(min)
      .max(max)
      .multipleOf(settings.multiple, `must be a multiple of ${settings.multiple}`)
      .default(usual);
  const names = name === 'flow_match_euler' ? FLOW_SAMPLERS : SAMPLERS;
  const shape = z.strictObject({
    width: size(settings.width).describe('In pixels.'),
    height: size(settings.height).describe('In pixels.'),
    num_inference_steps: z
      .int()
      .min(1)
      .max(settings.maxSteps)
      .default(settings.steps)
      .describe(`At most ${settings.maxPixelSteps} steps × width × height × images in all.`),
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
    num_outputs: z.int().min(1).max(settings.maxOutputs).default(1).describe('How many images.'),
    ...FORMAT,
    ...(facts.canStartFromImage
      ? {
          strength: z
            .number()
            .gt(0, 'must be greater than 0')
            .max(1)
            .default(0.8)
            .describe('Only with image: how much of it is replaced; 1: all of it.'),
        }
      : {}),
  });
  const limits = { facts, settings };
  return shape.superRefine((options, context) => {
    const problem = problemWith(options, limits);
    if (problem !== null) context.addIssue({ code: 'custom', ...problem });
  });
}

/** What each option alone does not show. */
function problemWith(
  options: RunSize & { readonly scheduler: SamplerName },
  { facts, settings }: { readonly facts: ModelFacts; readonly settings: DiffusionSettings },
): { readonly path: string[]; readonly message: string } | null {
  const { scheduler, num_inference_steps: steps } = options;
  const most = mostSteps(scheduler, facts.scheduler.config);
  if (steps > most) {
    const message = `must be at most ${most} with the scheduler ${scheduler}`;
    return { path: ['num_inference_steps'], message };
  }
  if (pixelSteps(options) <= settings.maxPixelSteps) return null;
  const message = `num_inference_steps × width × height × num_outputs must be at most ${settings.maxPixelSteps}`;
  return { path: [], message };
}

interface RunSize {
  readonly width: number;
  readonly height: number;
  readonly num_inference_steps: number;
  readonly num_outputs: number;
}

const pixelSteps = (options: RunSize): number =>
  options.num_inference_steps * options.width * options.height * options.num_outputs;
