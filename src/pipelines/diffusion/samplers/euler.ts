import type { SamplerSettings } from './config.ts';
import { runSigmas } from './run-sigmas.ts';
import { mapped, noisedBy, originalOf, type Sampler } from './sampler.ts';

/**
 * Euler's method on the probability flow: Karras et al. 2022 (arXiv 2206.00364), algorithm 1 without churn.
 * `isAncestral`: each step goes further down and adds fresh noise, as k-diffusion's sampler of that name.
 */
export function euler(
  settings: SamplerSettings,
  count: number,
  { isAncestral }: { readonly isAncestral: boolean },
): Sampler {
  const { timesteps, sigmas } = runSigmas(settings, count, { isDpm: false });
  const most = Math.max(...sigmas);
  const isLeading = settings.spacing === 'leading';
  const sigmaAt = (step: number): number => sigmas[step] ?? 0;
  return {
    timesteps,
    initialScale: Math.fround(isLeading ? Math.sqrt(most * most + 1) : most),
    needsBefore: false,
    scaled: (latents, step) => {
      const scale = Math.sqrt(sigmaAt(step) ** 2 + 1);
      return mapped(latents, (value) => value / scale);
    },
    advance({ step, latents, output, noise }) {
      const [sigma, next] = [sigmaAt(step), sigmaAt(step + 1)];
      const scale = Math.sqrt(sigma * sigma + 1);
      // The network was given latents of the scale 1, of which the picture is 1 / scale and noise sigma / scale.
      const predicted = originalOf(settings.prediction, 1 / scale, sigma / scale);
      const original = mapped(output, (value, index) =>
        predicted(value, (latents[index] as number) / scale),
      );
      const up = isAncestral
        ? Math.sqrt((next * next * (sigma * sigma - next * next)) / (sigma * sigma))
        : 0;
      const down = isAncestral ? Math.sqrt(next * next - up * up) : next;
      const added = up > 0 ? noise() : null;
      const advanced = mapped(latents, (value, index) => {
        const slope = (value - (original[index] as number)) / sigma;
        const mean = value + slope * (down - sigma);
        return added === null ? mean : mean + up * (added[index] as number);
      });
      return { latents: advanced, original };
    },
    noised: (original, noise, step) => noisedBy(original, noise, 1, sigmaAt(step)),
  };
}
