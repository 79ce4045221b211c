import type { SamplerSettings } from './config.ts';
import { alphaBars } from './noise-levels.ts';
import { clipped, mapped, noisedToBar, originalOf, type Sampler, unscaled } from './sampler.ts';

const DATA_DEVIATION_SQUARED = 0.5 ** 2;

/**
 * Latent consistency models: Luo et al. 2023 (arXiv 2310.04378); each step but the last adds fresh noise. `strength`:
 * how much of an image is replaced; the steps are spread over that much of the original ones.
 */
export function lcm(settings: SamplerSettings, count: number, strength: number): Sampler {
  const { trainingSteps, originalSteps, timestepScaling, prediction, clip } = settings;
  const bars = alphaBars(settings);
  const stride = Math.floor(trainingSteps / originalSteps);
  const used = Math.max(count, Math.floor(originalSteps * strength));
  const timesteps = Array.from({ length: count }, (_, index) => {
    const original = Math.floor((index * used) / count);
    return (used - original) * stride - 1;
  });
  const barOf = (step: number): number => bars[timesteps[step] ?? 0] ?? 1;
  return {
    timesteps,
    initialScale: 1,
    needsBefore: false,
    scaled: unscaled,
    advance({ step, latents, output, noise }) {
      const bar = barOf(step);
      const predicted = originalOf(prediction, Math.sqrt(bar), Math.sqrt(1 - bar));
      const original = mapped(output, (value, index) =>
        clipped(predicted(value, latents[index] as number), clip),
      );
      const time = (timesteps[step] ?? 0) * timestepScaling;
      const skip = DATA_DEVIATION_SQUARED / (time * time + DATA_DEVIATION_SQUARED);
      const out = time / Math.sqrt(time * time + DATA_DEVIATION_SQUARED);
      const denoised = mapped(
        original,
        (value, index) => out * value + skip * (latents[index] as number),
      );
      if (step === count - 1) return { latents: denoised, original };
      return { latents: noisedToBar(denoised, noise(), barOf(step + 1)), original };
    },
    noised: (original, noise, step) => noisedToBar(original, noise, barOf(step)),
  };
}
