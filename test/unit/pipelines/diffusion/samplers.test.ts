/* The samplers against diffusers 0.42.1: the same noise and the same network, step by step (docs/images.md). */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import {
  parseSchedulerConfig,
  samplerOf,
  type SamplerName,
} from '../../../../src/pipelines/diffusion/samplers/config.ts';
import { openSampler } from '../../../../src/pipelines/diffusion/samplers/index.ts';

interface Case {
  readonly kind: string;
  readonly cfg: Readonly<Record<string, unknown>>;
  readonly n: number;
  readonly opt: { readonly eta?: number };
  readonly ini: number;
  readonly ts: readonly number[];
  readonly lat: readonly (readonly number[])[];
}

const file = 'test/fixtures/diffusion/samplers.json.gz';
const reference = JSON.parse(gunzipSync(readFileSync(file)).toString('utf8')) as {
  readonly eps: readonly (readonly number[])[];
  readonly nz: readonly (readonly number[])[];
  readonly cases: readonly Case[];
};

const NAMES: Readonly<Record<string, SamplerName>> = {
  ddim: 'ddim',
  euler: 'euler',
  euler_a: 'euler_ancestral',
  'dpm++2m': 'dpmpp_2m',
  lcm: 'lcm',
  flow: 'flow_match_euler',
};

const titleOf = ({ kind, n, cfg }: Case): string => `${kind}, ${n} steps, ${JSON.stringify(cfg)}`;

test('there are 175 configurations', () => {
  expect(reference.cases).toHaveLength(175);
});

test.each(reference.cases.map((each) => [titleOf(each), each] as const))('%s', (_title, each) => {
  const name = NAMES[each.kind] as SamplerName;
  const config = parseSchedulerConfig(each.cfg);
  const sampler = openSampler(name, config, { steps: each.n, eta: each.opt.eta ?? 0 });
  let latents = Float32Array.from(reference.nz[31] ?? [], (value) => value * sampler.initialScale);
  let before: Float32Array | null = null;
  let error = 0;
  for (const [step, expected] of each.lat.entries()) {
    const input = sampler.scaled(latents, step);
    const predicted = reference.eps[step] ?? [];
    const output = input.map((value, index) => (predicted[index] ?? 0) * 0.9 + value * 0.1);
    const noise = () => Float32Array.from(reference.nz[step] ?? []);
    const next = sampler.advance({ step, latents, output, before, noise });
    latents = next.latents as Float32Array<ArrayBuffer>;
    before = next.original;
    const scale = Math.max(1, ...expected.map(Math.abs));
    for (const [index, value] of expected.entries()) {
      error = Math.max(error, Math.abs((latents[index] ?? Number.NaN) - value) / scale);
    }
  }

  expect(sampler.timesteps).toHaveLength(each.ts.length);
  for (const [step, time] of each.ts.entries()) {
    expect(Math.abs((sampler.timesteps[step] ?? 0) - time)).toBeLessThan(1e-3);
  }
  expect(Math.abs(sampler.initialScale - each.ini) / each.ini).toBeLessThan(1e-6);
  expect(error).toBeLessThan(1e-5);
});

test.each([
  ['EulerDiscreteScheduler', 'euler', null],
  ['PNDMScheduler', 'dpmpp_2m', "dpmpp_2m takes the place of the model's PNDMScheduler"],
  [
    'DDPMScheduler',
    'euler_ancestral',
    "euler_ancestral takes the place of the model's DDPMScheduler",
  ],
  ['Own', 'dpmpp_2m', "dpmpp_2m takes the place of the model's Own"],
])('a config of %s is served by %s', (className, name, note) => {
  const json = { _class_name: className };

  expect(samplerOf(parseSchedulerConfig(json), json)).toEqual({ name, note });
});

test.each([
  [{ beta_schedule: 'other' }, 'beta_schedule'],
  [{ num_train_timesteps: 0 }, 'num_train_timesteps'],
  [{ trained_betas: [0.1] }, 'trained_betas'],
  [{ thresholding: true }, 'thresholding'],
  [{ rescale_betas_zero_snr: true }, 'rescale_betas_zero_snr'],
  [null, 'must be'],
])('the config %j is refused', (json, reason) => {
  expect(() => parseSchedulerConfig(json)).toThrow(reason);
});
