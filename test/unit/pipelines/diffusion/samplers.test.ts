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

interface MoreCase {
  readonly name: SamplerName;
  readonly cfg: Readonly<Record<string, unknown>>;
  readonly n: number;
  readonly eta: number;
  readonly strength: number;
  readonly ts: readonly number[];
  readonly lat: readonly (readonly number[])[];
  /** `start` with the noise `first`, as it is before each step. */
  readonly noised: readonly (readonly number[])[];
}

/** What the 175 lack: networks that predict the picture, other ends, images to begin with. */
const more = JSON.parse(
  gunzipSync(readFileSync('test/fixtures/diffusion/more-samplers.json.gz')).toString('utf8'),
) as {
  readonly eps: readonly (readonly number[])[];
  readonly nz: readonly (readonly number[])[];
  readonly start: readonly number[];
  readonly first: readonly number[];
  readonly cases: readonly MoreCase[];
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
  const sampler = openSampler(name, config, { steps: each.n, eta: each.opt.eta ?? 0, strength: 1 });
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
    error = Math.max(error, errorOf(latents, expected));
  }

  expect(sampler.timesteps).toHaveLength(each.ts.length);
  for (const [step, time] of each.ts.entries()) {
    expect(Math.abs((sampler.timesteps[step] ?? 0) - time)).toBeLessThan(1e-3);
  }
  expect(Math.abs(sampler.initialScale - each.ini) / each.ini).toBeLessThan(1e-6);
  expect(error).toBeLessThan(1e-5);
});

const errorOf = (found: Float32Array, expected: readonly number[]): number => {
  const scale = Math.max(1, ...expected.map(Math.abs));
  return expected.reduce(
    (most, value, index) => Math.max(most, Math.abs((found[index] ?? Number.NaN) - value) / scale),
    0,
  );
};

test.each(
  more.cases.map((each) => {
    const { name, n, strength, cfg } = each;
    return [`${name}, ${n} steps, strength ${strength}, ${JSON.stringify(cfg)}`, each] as const;
  }),
)('%s', (_title, { name, cfg, n, eta, strength, ts, lat, noised }) => {
  const sampler = openSampler(name, parseSchedulerConfig(cfg), { steps: n, eta, strength });
  const [start, first] = [more.start, more.first].map((values) => Float32Array.from(values)) as [
    Float32Array,
    Float32Array,
  ];
  let latents = first.map((value) => value * sampler.initialScale);
  let before: Float32Array | null = null;
  for (const [step, expected] of lat.entries()) {
    expect(Math.abs((sampler.timesteps[step] ?? 0) - (ts[step] ?? 0))).toBeLessThan(1e-3);
    const input = sampler.scaled(latents, step);
    const output = input.map((value, at) => (more.eps[step]?.[at] ?? 0) * 0.9 + value * 0.1);
    const noise = () => Float32Array.from(more.nz[step] ?? []);
    const next = sampler.advance({ step, latents, output, before, noise });
    latents = next.latents as Float32Array<ArrayBuffer>;
    before = next.original;
    expect(errorOf(latents, expected)).toBeLessThan(1e-5);
    expect(errorOf(sampler.noised(start, first, step), noised[step] ?? [])).toBeLessThan(1e-5);
  }
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
  [{ beta_start: 0.9, beta_end: 0.1 }, 'beta_start'],
  [{ trained_betas: [0.1] }, 'trained_betas'],
  [{ thresholding: true }, 'thresholding'],
  [{ rescale_betas_zero_snr: true }, 'rescale_betas_zero_snr'],
  [null, 'must be'],
])('the config %j is refused', (json, reason) => {
  expect(() => parseSchedulerConfig(json)).toThrow(reason);
});
