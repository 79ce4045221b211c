import type { SamplerSettings } from './config.ts';
import { runSigmas } from './run-sigmas.ts';
import { mapped, noisedBy, originalOf, type Sampler, unscaled } from './sampler.ts';

/** With fewer steps the last one is of the first order. */
const FEW_STEPS = 15;

/** DPM-Solver++ 2M: Lu et al. 2022 (arXiv 2211.01095), algorithm 2; the first and the last step are of the first order. */
export function dpmSolver(settings: SamplerSettings, count: number): Sampler {
  const { timesteps, sigmas } = runSigmas(settings, count, { isDpm: true });
  const { isEulerFinal, isLowerOrderFinal, endsAtZero, order, prediction } = settings;
  const levelAt = (step: number) => levelOf(sigmas[step] ?? 0);
  const isFirstOrderFinal = isEulerFinal || (isLowerOrderFinal && count < FEW_STEPS) || endsAtZero;
  return {
    timesteps,
    initialScale: 1,
    needsBefore: order === 2,
    scaled: unscaled,
    advance({ step, latents, output, before }) {
      const [from, to] = [levelAt(step), levelAt(step + 1)];
      const predicted = originalOf(prediction, from.alpha, from.sigma);
      const original = mapped(output, (value, index) => predicted(value, latents[index] as number));
      const width = to.sigma === 0 ? Number.POSITIVE_INFINITY : to.lambda - from.lambda;
      const growth = to.alpha * (Math.exp(-width) - 1);
      const shrink = to.sigma / from.sigma;
      const isFirstOrder =
        order === 1 || before === null || (step === count - 1 && isFirstOrderFinal);
      if (isFirstOrder) {
        const advanced = mapped(
          latents,
          (value, index) => shrink * value - growth * (original[index] as number),
        );
        return { latents: advanced, original };
      }
      const ratio = (from.lambda - levelAt(step - 1).lambda) / width;
      const advanced = mapped(latents, (value, index) => {
        const [now, earlier] = [original[index] as number, before[index] as number];
        return shrink * value - growth * now - 0.5 * growth * ((now - earlier) / ratio);
      });
      return { latents: advanced, original };
    },
    noised: (original, noise, step) => {
      const { alpha, sigma } = levelAt(step);
      return noisedBy(original, noise, alpha, sigma);
    },
  };
}

/** How much of the latents is the picture and how much noise; `lambda` is half the logarithm of their ratio squared. */
function levelOf(sigma: number) {
  const alpha = 1 / Math.sqrt(sigma * sigma + 1);
  const scaled = sigma * alpha;
  return { alpha, sigma: scaled, lambda: Math.log(alpha) - Math.log(scaled) };
}
