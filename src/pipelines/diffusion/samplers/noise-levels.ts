/*
 * How much of the picture is left at each training step: alpha-bar of Ho et al. 2020 (arXiv 2006.11239), in single
 * precision as diffusers computes it, because an error here grows over a run.
 */
import type { SamplerSettings } from './config.ts';

const single = Math.fround;
/** Instead of zero, which nothing can be divided by; as diffusers has it. */
const ALMOST_ZERO = 2 ** -24;
const MAX_COSINE_BETA = 0.999;
const COSINE_OFFSET = 0.008;

type BetaSettings = Pick<
  SamplerSettings,
  'trainingSteps' | 'betaStart' | 'betaEnd' | 'betaSchedule' | 'isZeroSnr'
>;

/** Alpha-bar by training step, falling from nearly 1 to nearly 0. */
export function alphaBars(settings: BetaSettings): Float32Array {
  const bars = products(betasOf(settings).map((beta) => single(1 - beta)));
  return settings.isZeroSnr ? withoutSignalAtTheEnd(bars) : bars;
}

/** Sigma by training step: the standard deviation of the noise, over a picture that keeps its scale. */
export function sigmasOf(settings: BetaSettings): Float64Array {
  const bars = alphaBars(settings);
  if (settings.isZeroSnr) bars[bars.length - 1] = ALMOST_ZERO;
  return Float64Array.from(bars, (bar) => single(Math.sqrt(single(single(1 - bar) / bar))));
}

function betasOf({ trainingSteps, betaStart, betaEnd, betaSchedule }: BetaSettings): Float32Array {
  switch (betaSchedule) {
    case 'linear':
      return singleLinspace(betaStart, betaEnd, trainingSteps);
    case 'scaled_linear': {
      const roots = singleLinspace(Math.sqrt(betaStart), Math.sqrt(betaEnd), trainingSteps);
      return roots.map((root) => single(root * root));
    }
    case 'squaredcos_cap_v2': {
      // Nichol & Dhariwal 2021 (arXiv 2102.09672), equation 17.
      const bar = (at: number): number =>
        Math.cos((((at + COSINE_OFFSET) / (1 + COSINE_OFFSET)) * Math.PI) / 2) ** 2;
      return Float32Array.from({ length: trainingSteps }, (_, step) => {
        const [from, to] = [step / trainingSteps, (step + 1) / trainingSteps];
        return Math.min(1 - bar(to) / bar(from), MAX_COSINE_BETA);
      });
    }
  }
}

/** As torch.linspace does it in single precision: from both ends towards the middle. */
function singleLinspace(first: number, last: number, count: number): Float32Array {
  const [from, to] = [single(first), single(last)];
  const step = single(single(to - from) / (count - 1));
  return Float32Array.from({ length: count }, (_, index) =>
    index < count / 2
      ? single(from + single(step * index))
      : single(to - single(step * (count - 1 - index))),
  );
}

function products(factors: Float32Array): Float32Array {
  let product = 1;
  return factors.map((factor) => (product = single(product * factor)));
}

/** Moves alpha-bar so that the last step is nothing but noise: Lin et al. 2023 (arXiv 2305.08891), algorithm 1. */
function withoutSignalAtTheEnd(bars: Float32Array): Float32Array {
  const roots = bars.map((bar) => single(Math.sqrt(bar)));
  const [first, last] = [roots[0] ?? 1, roots.at(-1) ?? 0];
  const scale = single(first / single(first - last));
  const moved = roots.map((root) => single(single(single(root - last) * scale) ** 2));
  const alphas = moved.map((bar, step) =>
    step === 0 ? bar : single(bar / (moved[step - 1] ?? 1)),
  );
  return products(alphas.map((alpha) => single(1 - single(1 - alpha)))); // by way of the betas
}
