import type { SamplerSettings } from './config.ts';
import { alphaBars } from './noise-levels.ts';
import { clipped, mapped, noisedToBar, originalOf, type Sampler, unscaled } from './sampler.ts';
import { spacedTimesteps } from './timesteps.ts';

/**
 * Song et al. 2021 (arXiv 2010.02502), equation 12. `eta`: how much fresh noise each step adds; 0: none, 1: as much as
 * DDPM does.
 */
export function ddim(settings: SamplerSettings, count: number, eta: number): Sampler {
  const { trainingSteps, prediction, clip, endsAtOne } = settings;
  const bars = alphaBars(settings);
  const barOf = (time: number): number =>
    time >= 0 ? (bars[time] ?? 1) : endsAtOne ? 1 : (bars[0] ?? 1);
  const timesteps = spacedTimesteps(settings, count, { isWhole: true });
  const stride = Math.floor(trainingSteps / count);
  return {
    timesteps,
    initialScale: 1,
    needsBefore: false,
    scaled: unscaled,
    advance({ step, latents, output, noise }) {
      const time = timesteps[step] ?? 0;
      const [bar, next] = [barOf(time), barOf(time - stride)];
      const [alpha, sigma] = [Math.sqrt(bar), Math.sqrt(1 - bar)];
      const predictedOf = originalOf(prediction, alpha, sigma);
      const predicted = mapped(output, (value, index) =>
        predictedOf(value, latents[index] as number),
      );
      const original = mapped(predicted, (value) => clipped(value, clip));
      const fresh = eta * Math.sqrt(((1 - next) / (1 - bar)) * (1 - bar / next));
      const direction = Math.sqrt(1 - next - fresh * fresh);
      const added = fresh > 0 ? noise() : null;
      const epsilonOf = epsilon(prediction, alpha, sigma);
      const advanced = mapped(original, (value, index) => {
        const [told, latent] = [output[index] as number, latents[index] as number];
        const towards = epsilonOf(told, latent, predicted[index] as number);
        const mean = Math.sqrt(next) * value + direction * towards;
        return added === null ? mean : mean + fresh * (added[index] as number);
      });
      return { latents: advanced, original };
    },
    noised: (original, noise, step) => noisedToBar(original, noise, barOf(timesteps[step] ?? 0)),
  };
}

/** The noise in what the network predicted. */
function epsilon(prediction: SamplerSettings['prediction'], alpha: number, sigma: number) {
  return (output: number, latent: number, original: number): number => {
    if (prediction === 'epsilon') return output;
    return prediction === 'v_prediction'
      ? alpha * output + sigma * latent
      : (latent - alpha * original) / sigma;
  };
}
