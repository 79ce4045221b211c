/*
 * Runs the tiny model of the fixtures with the noise that torch and diffusers were given for theirs, and says how far
 * the numbers are apart. A process of its own, because ONNX Runtime does not take the typed arrays of a test's realm.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { resolve } from 'node:path';
import { readVersionFolder } from '../../dist/models/manifest.js';
import { Autoencoder } from '../../dist/pipelines/diffusion/autoencoder.js';
import { Denoiser } from '../../dist/pipelines/diffusion/denoiser.js';
import { UNET } from '../../dist/pipelines/diffusion/layout.js';
import { modelFacts } from '../../dist/pipelines/diffusion/model-facts.js';
import { Networks } from '../../dist/pipelines/diffusion/networks.js';
import { parseSchedulerConfig } from '../../dist/pipelines/diffusion/samplers/config.js';
import { openSampler } from '../../dist/pipelines/diffusion/samplers/index.js';
import { TextEncoding } from '../../dist/pipelines/diffusion/text-encoding.js';

const GUIDANCE = 7.5;
const STEPS = 20;
const NAMES = { ddim: 'ddim', euler: 'euler', 'dpm++2m': 'dpmpp_2m' };

const reference = JSON.parse(
  gunzipSync(readFileSync(resolve('test/fixtures/diffusion/pipeline.json.gz'))).toString(),
);
const content = await readVersionFolder(resolve('test/fixtures/diffusion/tiny'));
const { manifest, graphs, configs } = content;
const settings = { ...content, device: 'cpu', limits: { maxPixels: 1 }, maxOutputBytes: 1 };
const facts = modelFacts(manifest, graphs, configs);
const networks = await Networks.open(settings);
const text = await TextEncoding.open(facts, settings, networks);
const autoencoder = new Autoencoder(facts, graphs, networks);
const shape = { channels: 4, height: 8, width: 8 };
const [prompt, negative] = await text.encodeAll([reference.prompt, '']);

const largest = (a, b) => a.reduce((most, value, at) => Math.max(most, Math.abs(value - b[at])), 0);
const half = reference.h.length / 2;
const result = {
  negative: largest(negative.states, reference.h.slice(0, half)),
  prompt: largest(prompt.states, reference.h.slice(half)),
};
for (const [kind, run] of Object.entries(reference.runs)) {
  const options = { steps: STEPS, eta: 0, strength: 1 };
  const sampler = openSampler(NAMES[kind], parseSchedulerConfig(run.cfg), options);
  const network = { networks, graph: graphs[UNET], facts, shape, prompt, negative };
  const denoiser = new Denoiser({ ...network, guidance: GUIDANCE });
  let latents = Float32Array.from(reference.init, (value) => value * sampler.initialScale);
  let before = null;
  let error = 0;
  for (const [step, time] of sampler.timesteps.entries()) {
    const output = await denoiser.predict(sampler.scaled(latents, step), time);
    const next = sampler.advance({ step, latents, output, before, noise: () => null });
    ({ latents, original: before } = next);
    const scale = Math.max(1, ...run.lat[step].map(Math.abs));
    error = Math.max(error, largest(latents, run.lat[step]) / scale);
  }
  const { data } = await autoencoder.decode(latents, shape);
  const pixels = run.px.filter((value, at) => value !== data[at]).length;
  result[kind] = { latents: error, pixels, of: run.px.length };
}
console.log(JSON.stringify(result));
