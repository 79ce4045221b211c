/* The noise at each step of a run, for samplers that count in sigmas. */
import type { SamplerSettings } from './config.ts';
import { sigmasOf } from './noise-levels.ts';
import { roundHalfEven, spacedTimesteps } from './timesteps.ts';

/** Karras et al. 2022 (arXiv 2206.00364), equation 5. */
const KARRAS_RHO = 7;

export interface RunSigmas {
  readonly timesteps: readonly number[];
  /** One more than there are steps: where the last one ends. */
  readonly sigmas: readonly number[];
}

/** `isDpm`: as DPM-Solver++ spaces its steps. */
export function runSigmas(
  settings: SamplerSettings,
  count: number,
  { isDpm }: { readonly isDpm: boolean },
): RunSigmas {
  const training = sigmasOf(settings);
  const hasExtra = isDpm && settings.spacing !== 'trailing';
  let timesteps = spacedTimesteps(settings, count, { isWhole: isDpm, hasExtra });
  let sigmas = timesteps.map((time) => between(training, time));
  if (settings.isKarras) {
    const [most, least] = isDpm
      ? [training.at(-1) ?? 0, training[0] ?? 0]
      : [sigmas[0] ?? 0, sigmas.at(-1) ?? 0];
    sigmas = karrasSigmas(most, least, count);
    const logs = training.map(Math.log);
    timesteps = sigmas.map((sigma) => {
      const time = timeOf(logs, sigma);
      return isDpm ? roundHalfEven(time) : Math.fround(time);
    });
  }
  const last = settings.endsAtZero ? 0 : (training[0] ?? 0);
  return { timesteps, sigmas: [...sigmas, last].map(Math.fround) };
}

/** The value at a place between two elements. */
function between(values: Float64Array, at: number): number {
  const index = Math.max(0, Math.min(values.length - 1, Math.floor(at)));
  const [low = 0, high] = [values[index], values[index + 1]];
  return high === undefined ? low : low + (high - low) * (at - index);
}

function karrasSigmas(most: number, least: number, count: number): number[] {
  const [from, to] = [most ** (1 / KARRAS_RHO), least ** (1 / KARRAS_RHO)];
  return Array.from({ length: count }, (_, index) => {
    const share = count === 1 ? 0 : index / (count - 1);
    return (from + share * (to - from)) ** KARRAS_RHO;
  });
}

/** The training step at which there is so much noise, by the logarithms of the noise of all steps. */
function timeOf(logs: Float64Array, sigma: number): number {
  const log = Math.log(Math.max(sigma, 1e-10));
  let low = 0;
  while (low < logs.length - 2 && (logs[low + 1] ?? 0) <= log) low += 1;
  const [before = 0, after = 0] = [logs[low], logs[low + 1]];
  const share = Math.max(0, Math.min(1, (before - log) / (before - after)));
  return (1 - share) * low + share * (low + 1);
}
