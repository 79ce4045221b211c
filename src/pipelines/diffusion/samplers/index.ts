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
}

/** A sampler for one run. */
export function openSampler(
  name: SamplerName,
  config: SchedulerConfig,
  { steps, eta }: SamplerOptions,
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
      return lcm(settings, steps);
    case 'flow_match_euler':
      return flowMatching(settings, steps);
  }
}
