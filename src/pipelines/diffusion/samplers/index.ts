import { type SamplerName, type SchedulerConfig, settingsFor } from './config.ts';
import { ddim } from './ddim.ts';
import { dpmSolver } from './dpm-solver.ts';
import { euler } from './euler.ts';
import { flowMatching } from './flow-matching.ts';
import { lcm } from './lcm.ts';
import type { Sampler } from './sampler.ts';

export interface SamplerOptions {
  readonly steps: number;
  /** For DDIM only. */
  readonly eta: number;
  /** How much of the image that the run begins with is replaced; 1: it begins with noise alone. */
  readonly strength: number;
}

/** The first step of a run that replaces so much of an image: at least one step is made. LCM makes all of its steps. */
export const firstStepOf = (name: SamplerName, { steps, strength }: SamplerOptions): number =>
  name === 'lcm' ? 0 : steps - Math.max(1, Math.min(steps, Math.floor(steps * strength)));

/** A sampler for one run. */
export function openSampler(
  name: SamplerName,
  config: SchedulerConfig,
  { steps, eta, strength }: SamplerOptions,
): Sampler {
  const settings = settingsFor(name, config);
  switch (name) {
    case 'ddim':
      return ddim(settings, steps, eta);
    case 'euler':
      return euler(settings, steps, { isAncestral: false });
    case 'euler_ancestral':
      return euler(settings, steps, { isAncestral: true });
    case 'dpmpp_2m':
      return dpmSolver(settings, steps);
    case 'lcm':
      return lcm(settings, steps, strength);
    case 'flow_match_euler':
      return flowMatching(settings, steps);
  }
}
