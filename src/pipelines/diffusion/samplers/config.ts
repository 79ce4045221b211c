/*
 * scheduler_config.json, as diffusers writes it: how much noise each of the thousand training steps has, what the
 * network predicts, and which steps a run takes. A key that is absent means the default of the scheduler's class, and
 * these differ (https://huggingface.co/docs/diffusers/api/schedulers/overview).
 */
import { z } from 'zod';
import { firstMessage } from '../../../contract/issue-message.ts';

/** The samplers of models that predict noise, velocity or the picture. */
export const SAMPLERS = ['ddim', 'euler', 'euler_ancestral', 'dpmpp_2m', 'lcm'] as const;
/** Those of models of flow. */
export const FLOW_SAMPLERS = ['flow_match_euler'] as const;
/** As requests call it. */
export type SamplerName = (typeof SAMPLERS)[number] | (typeof FLOW_SAMPLERS)[number];

/** The samplers by the classes of diffusers that they do the same as. */
const CLASSES: Readonly<Record<string, SamplerName>> = {
  DDIMScheduler: 'ddim',
  EulerDiscreteScheduler: 'euler',
  EulerAncestralDiscreteScheduler: 'euler_ancestral',
  DPMSolverMultistepScheduler: 'dpmpp_2m',
  LCMScheduler: 'lcm',
  FlowMatchEulerDiscreteScheduler: 'flow_match_euler',
};

/** For classes that we do not have: the sampler that takes their place. All other unknown ones get `dpmpp_2m`. */
const SUBSTITUTES: Readonly<Record<string, SamplerName>> = {
  DDPMScheduler: 'euler_ancestral',
  KDPM2AncestralDiscreteScheduler: 'euler_ancestral',
  FlowMatchHeunDiscreteScheduler: 'flow_match_euler',
};

const MAX_TRAINING_STEPS = 100_000;

const configSchema = z.object({
  _class_name: z.string().max(200).default('PNDMScheduler'),
  num_train_timesteps: z.int().min(2).max(MAX_TRAINING_STEPS).default(1000),
  beta_start: z.number().gt(0).lt(1).nullish(),
  beta_end: z.number().gt(0).lt(1).nullish(),
  beta_schedule: z.enum(['linear', 'scaled_linear', 'squaredcos_cap_v2']).nullish(),
  prediction_type: z.enum(['epsilon', 'v_prediction', 'sample']).nullish(),
  timestep_spacing: z.enum(['leading', 'trailing', 'linspace']).nullish(),
  steps_offset: z.int().min(0).max(1000).nullish(),
  set_alpha_to_one: z.boolean().nullish(),
  clip_sample: z.boolean().nullish(),
  clip_sample_range: z.number().gt(0).nullish(),
  rescale_betas_zero_snr: z.boolean().nullish(),
  use_karras_sigmas: z.boolean().nullish(),
  final_sigmas_type: z.enum(['zero', 'sigma_min']).nullish(),
  lower_order_final: z.boolean().nullish(),
  euler_at_final: z.boolean().nullish(),
  solver_order: z.int().min(1).max(3).nullish(),
  original_inference_steps: z.int().min(1).max(1000).nullish(),
  timestep_scaling: z.number().gt(0).nullish(),
  shift: z.number().gt(0).nullish(),
  // What these stand for changes the result, and is not here.
  trained_betas: z.null('own betas are not supported').optional(),
  thresholding: z.literal(false, 'is not supported').nullish(),
  use_dynamic_shifting: z.literal(false, 'is not supported').nullish(),
  timestep_type: z.literal('discrete', 'only discrete time steps are supported').nullish(),
});

/** What a folder says of its sampler. */
export type SchedulerConfig = z.infer<typeof configSchema>;

/** Other ways to space the steps: with them a run takes the usual way, which gives a slightly different picture. */
const IGNORED = [
  'use_exponential_sigmas',
  'use_beta_sigmas',
  'use_lu_lambdas',
  'use_flow_sigmas',
] as const;

/** The settings of one sampler, without gaps. */
export interface SamplerSettings {
  readonly trainingSteps: number;
  readonly betaStart: number;
  readonly betaEnd: number;
  readonly betaSchedule: 'linear' | 'scaled_linear' | 'squaredcos_cap_v2';
  readonly prediction: 'epsilon' | 'v_prediction' | 'sample';
  readonly spacing: 'leading' | 'trailing' | 'linspace';
  readonly stepsOffset: number;
  /** The last step ends without any noise, rather than with that of the first training step. */
  readonly endsAtOne: boolean;
  /** The predicted picture stays within plus and minus this; null: it may be anything. */
  readonly clip: number | null;
  readonly isZeroSnr: boolean;
  readonly isKarras: boolean;
  readonly endsAtZero: boolean;
  readonly isLowerOrderFinal: boolean;
  readonly isEulerFinal: boolean;
  readonly order: 1 | 2;
  /** LCM: the steps of the model that this one was distilled from. */
  readonly originalSteps: number;
  readonly timestepScaling: number;
  readonly shift: number;
}

/** Reads scheduler_config.json; throws an error that says what is wrong. */
export function parseSchedulerConfig(json: unknown): SchedulerConfig {
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) throw new Error(firstMessage(parsed.error.issues));
  const { beta_start: first, beta_end: last } = parsed.data;
  if (first != null && last != null && first > last) {
    throw new Error('beta_start: must be at most beta_end');
  }
  if (parsed.data.rescale_betas_zero_snr === true && predictionOf(parsed.data) === 'epsilon') {
    throw new Error('rescale_betas_zero_snr: a network that predicts noise cannot begin with it');
  }
  return parsed.data;
}

const predictionOf = ({ prediction_type: type }: SchedulerConfig) => type ?? 'epsilon';

/** The sampler that a config names, or the one that takes its place; `note` says so when that is another. */
export function samplerOf(
  config: SchedulerConfig,
  json: unknown,
): {
  readonly name: SamplerName;
  readonly note: string | null;
} {
  const { _class_name: className, solver_order: order } = config;
  const ignored = IGNORED.filter((key) => (json as Record<string, unknown>)[key] === true);
  const notes = ignored.map((key) => `${key} is ignored`);
  if (order === 3) notes.push('solver_order 3 is taken as 2');
  const own = Object.hasOwn(CLASSES, className) ? CLASSES[className] : undefined;
  const substitute = Object.hasOwn(SUBSTITUTES, className) ? SUBSTITUTES[className] : undefined;
  const name = own ?? substitute ?? 'dpmpp_2m';
  if (own === undefined) notes.unshift(`${name} takes the place of the model's ${className}`);
  return { name, note: notes.length === 0 ? null : notes.join('; ') };
}

/** The most steps that a sampler can take. */
export function mostSteps(name: SamplerName, config: SchedulerConfig): number {
  const { trainingSteps, originalSteps } = settingsFor(name, config);
  return name === 'lcm' ? Math.min(originalSteps, trainingSteps) : trainingSteps;
}

/** The settings for a sampler, with the defaults of its class in diffusers. */
export function settingsFor(name: SamplerName, config: SchedulerConfig): SamplerSettings {
  const isLcm = name === 'lcm';
  const canClip = name === 'ddim' || isLcm;
  const hasSigmas = name === 'euler' || name === 'dpmpp_2m'; // only their classes have these keys
  return {
    trainingSteps: config.num_train_timesteps,
    betaStart: config.beta_start ?? (isLcm ? 0.00085 : 0.0001),
    betaEnd: config.beta_end ?? (isLcm ? 0.012 : 0.02),
    betaSchedule: config.beta_schedule ?? (isLcm ? 'scaled_linear' : 'linear'),
    prediction: predictionOf(config),
    spacing: config.timestep_spacing ?? (name === 'ddim' ? 'leading' : 'linspace'),
    stepsOffset: config.steps_offset ?? 0,
    endsAtOne: config.set_alpha_to_one ?? true,
    clip: canClip && (config.clip_sample ?? true) ? (config.clip_sample_range ?? 1) : null,
    isZeroSnr: config.rescale_betas_zero_snr ?? false,
    isKarras: hasSigmas && (config.use_karras_sigmas ?? false),
    endsAtZero: !hasSigmas || config.final_sigmas_type !== 'sigma_min',
    isLowerOrderFinal: config.lower_order_final ?? true,
    isEulerFinal: config.euler_at_final ?? false,
    order: config.solver_order === 1 ? 1 : 2,
    originalSteps: Math.min(config.original_inference_steps ?? 50, config.num_train_timesteps),
    timestepScaling: config.timestep_scaling ?? 10,
    shift: config.shift ?? 1,
  };
}
