import type { SamplerSettings } from './config.ts';
import { mapped, noisedBy, type Sampler, unscaled } from './sampler.ts';

/** Rectified flow: Esser et al. 2024 (arXiv 2403.03206), with its shift of the times (equation 23). */
export function flowMatching(settings: SamplerSettings, count: number): Sampler {
  const { trainingSteps, shift } = settings;
  const shifted = (sigma: number): number => (shift * sigma) / (1 + (shift - 1) * sigma);
  const [first, last] = [shifted(1), Math.fround(shifted(1 / trainingSteps))].map(
    (sigma) => sigma * trainingSteps,
  ) as [number, number];
  const sigmas = Array.from({ length: count }, (_, index) => {
    const time = count === 1 ? first : first + ((last - first) * index) / (count - 1);
    return Math.fround(shifted(time / trainingSteps));
  });
  const sigmaAt = (step: number): number => sigmas[step] ?? 0;
  return {
    timesteps: sigmas.map((sigma) => Math.fround(sigma * trainingSteps)),
    initialScale: 1,
    needsBefore: false,
    scaled: unscaled,
    advance({ step, latents, output }) {
      const width = Math.fround(sigmaAt(step + 1) - sigmaAt(step));
      return {
        latents: mapped(latents, (value, index) => value + width * (output[index] as number)),
        original: mapped(
          latents,
          (value, index) => value - sigmaAt(step) * (output[index] as number),
        ),
      };
    },
    noised: (original, noise, step) => noisedBy(original, noise, 1 - sigmaAt(step), sigmaAt(step)),
  };
}
