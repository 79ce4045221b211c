/* Which of the training steps a run takes, from much noise to little: Lin et al. 2023 (arXiv 2305.08891), table 2. */
import type { SamplerSettings } from './config.ts';

type Spacing = Pick<SamplerSettings, 'trainingSteps' | 'spacing' | 'stepsOffset'>;

/**
 * The steps of a run of `count`. `isWhole`: all are whole numbers. `hasExtra`: they are spaced as if there were one
 * more, at the end, which is left out (DPM-Solver++).
 */
export function spacedTimesteps(
  { trainingSteps, spacing, stepsOffset }: Spacing,
  count: number,
  { isWhole, hasExtra = false }: { readonly isWhole: boolean; readonly hasExtra?: boolean },
): number[] {
  const spaced = count + (hasExtra ? 1 : 0);
  switch (spacing) {
    case 'trailing': {
      const width = trainingSteps / count;
      return range(count).map((index) => roundHalfEven(trainingSteps - index * width) - 1);
    }
    case 'leading': {
      const width = Math.floor(trainingSteps / spaced);
      const steps = range(spaced).map((index) => index * width + stepsOffset);
      return steps.toReversed().slice(0, count);
    }
    case 'linspace': {
      if (spaced === 1) return [0];
      const width = (trainingSteps - 1) / (spaced - 1);
      const steps = range(spaced).map((index) =>
        index === spaced - 1 ? trainingSteps - 1 : index * width,
      );
      return steps
        .toReversed()
        .slice(0, count)
        .map(isWhole ? roundHalfEven : Math.fround);
    }
  }
}

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** As numpy rounds: a half goes to the even neighbour. */
export function roundHalfEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
