/* What a sampler is: the rule by which a run goes from noise to a picture, one step after the other. */
import type { SamplerSettings } from './config.ts';

/** What one step begins with. */
interface StepInput {
  /** From 0. */
  readonly step: number;
  readonly latents: Float32Array;
  /** What the network has predicted for the latents of this step. */
  readonly output: Float32Array;
  /** The picture that the step before has predicted; null at the first step. */
  readonly before: Float32Array | null;
  /** Fresh noise for this step, as long as the latents. */
  readonly noise: () => Float32Array;
}

interface StepResult {
  readonly latents: Float32Array;
  /** The picture as the network sees it now. */
  readonly original: Float32Array;
}

export interface Sampler {
  /** The time of each step, as the network is told it. */
  readonly timesteps: readonly number[];
  /** The standard deviation of the noise that a run begins with. */
  readonly initialScale: number;
  /** Whether a step needs the picture that the one before has predicted. */
  readonly needsBefore: boolean;
  /** The latents as the network takes them. */
  scaled(latents: Float32Array, step: number): Float32Array;
  advance(input: StepInput): StepResult;
  /** A picture with as much noise as there is before `step`. */
  noised(original: Float32Array, noise: Float32Array, step: number): Float32Array;
}

/** The picture in what the network predicted, from how much of it (`alpha`) and of noise (`sigma`) the latents are. */
export function originalOf(
  prediction: SamplerSettings['prediction'],
  alpha: number,
  sigma: number,
): (output: number, latent: number) => number {
  switch (prediction) {
    case 'epsilon':
      return (output, latent) => (latent - sigma * output) / alpha;
    case 'v_prediction':
      return (output, latent) => alpha * latent - sigma * output;
    case 'sample':
      return (output) => output;
  }
}

/** Applies `compute` to each place of arrays of the same length. */
export function mapped(
  values: Float32Array,
  compute: (value: number, index: number) => number,
): Float32Array {
  const result = new Float32Array(values.length);
  for (let index = 0; index < result.length; index++) {
    result[index] = compute(values[index] as number, index);
  }
  return result;
}

/** For samplers whose network takes the latents as they are. */
export const unscaled = (latents: Float32Array): Float32Array => latents;

/** A value that stays within plus and minus `clip`; null: it may be anything. */
export const clipped = (value: number, clip: number | null): number =>
  clip === null ? value : Math.max(-clip, Math.min(clip, value));

/** A picture with noise, where so much of it (alpha-bar) is left. */
export const noisedToBar = (
  original: Float32Array,
  noise: Float32Array,
  bar: number,
): Float32Array => noisedBy(original, noise, Math.sqrt(bar), Math.sqrt(1 - bar));

/** `alpha` of a picture and `sigma` of noise. */
export const noisedBy = (
  original: Float32Array,
  noise: Float32Array,
  alpha: number,
  sigma: number,
): Float32Array =>
  mapped(original, (value, index) => alpha * value + sigma * (noise[index] as number));
