/* What is wrong with the folder of a diffusion model is found before anything is loaded. */
import { cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readVersionFolder } from '../../../../src/models/manifest.ts';
import { affineGraph } from '../../../../src/onnx/example-graphs.ts';

let folder: string;

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'buzzer-model-')), '1');
  await cp('test/fixtures/diffusion/tiny', folder, { recursive: true });
});
afterEach(async () => await rm(join(folder, '..'), { recursive: true }));

async function changed(path: string, change: object): Promise<void> {
  const json = JSON.parse(await readFile(join(folder, path), 'utf8')) as object;
  await writeFile(join(folder, path), JSON.stringify({ ...json, ...change }));
}

test('a folder of diffusers is a model as it is', async () => {
  const { manifest, schema } = await readVersionFolder(folder);
  const defaults = schema.options.parse({});

  expect(manifest.pipeline).toBe('diffusion');
  expect(defaults).toMatchObject({
    width: 16,
    height: 16,
    num_inference_steps: 50,
    guidance_scale: 7.5,
    scheduler: 'dpmpp_2m',
    num_outputs: 1,
    output_format: 'png',
  });
  expect(schema.options.shape['scheduler']?.description).toContain(
    "dpmpp_2m takes the place of the model's PNDMScheduler",
  );
  expect(Object.keys(schema.media)).toEqual([]); // it cannot start from an image
});

test('its model.json may say how it is used', async () => {
  const options = { num_inference_steps: 4, max_size: 24, max_pixel_steps: 2000 };
  await writeFile(join(folder, 'model.json'), JSON.stringify({ pipeline: 'diffusion', options }));
  const { schema } = await readVersionFolder(folder);
  const accepts = (given: object) => schema.options.safeParse(given).success;

  expect(schema.options.parse({})).toMatchObject({ num_inference_steps: 4 });
  expect(accepts({ width: 24, height: 16 })).toBe(true); // 4 × 24 × 16 = 1536
  expect(accepts({ width: 24, height: 24 })).toBe(false); // 2304
  expect(accepts({ width: 32 })).toBe(false);
});

test.each<[string, string, () => Promise<void>]>([
  [
    'without its network',
    'unet/model.onnx does not exist',
    async () => await rm(join(folder, 'unet', 'model.onnx')),
  ],
  [
    'with another network',
    'unet/model.onnx: it has no input sample, timestep, encoder_hidden_states',
    async () => await writeFile(join(folder, 'unet', 'model.onnx'), affineGraph()),
  ],
  [
    'with two components in each other’s place',
    'vae_decoder/model.onnx: it has no input latent_sample',
    async () => {
      await rename(join(folder, 'vae_decoder'), join(folder, 'other'));
      await cp(join(folder, 'text_encoder'), join(folder, 'vae_decoder'), { recursive: true });
      await cp(join(folder, 'other', 'config.json'), join(folder, 'vae_decoder', 'config.json'));
    },
  ],
  [
    'for latents of another size',
    'it takes 4 channels, but the latents of vae_decoder/config.json have 16',
    async () => await changed('vae_decoder/config.json', { latent_channels: 16 }),
  ],
  [
    'whose index points outside',
    '"../../secrets" is no component',
    async () => await changed('model_index.json', { '../../secrets': ['diffusers', 'X'] }),
  ],
  [
    'whose index is no JSON',
    'model_index.json cannot be read',
    async () => await writeFile(join(folder, 'model_index.json'), '{'),
  ],
  [
    'whose index is a list',
    'model_index.json must be an object',
    async () => await writeFile(join(folder, 'model_index.json'), '[]'),
  ],
  [
    'with a scheduler of no steps',
    'scheduler/scheduler_config.json num_train_timesteps',
    async () => await changed('scheduler/scheduler_config.json', { num_train_timesteps: 0 }),
  ],
  [
    'without a tokenizer',
    'text_encoder/model.onnx needs tokenizer/',
    async () => await rm(join(folder, 'tokenizer', 'vocab.json')),
  ],
  [
    'with a size that its network cannot halve',
    'options.width: must be a multiple of 8',
    async () => {
      const manifest = { pipeline: 'diffusion', options: { width: 20 } };
      await writeFile(join(folder, 'model.json'), JSON.stringify(manifest));
    },
  ],
  [
    'whose sizes leave nothing to choose',
    'options.width: must be from 64 (min_size) to 8 (max_size)',
    async () => {
      const manifest = { pipeline: 'diffusion', options: { min_size: 64, max_size: 8 } };
      await writeFile(join(folder, 'model.json'), JSON.stringify(manifest));
    },
  ],
  [
    'with an option that there is not',
    'model.json',
    async () => {
      const manifest = { pipeline: 'diffusion', options: { steps: 20 } };
      await writeFile(join(folder, 'model.json'), JSON.stringify(manifest));
    },
  ],
])('a folder %s is refused', async (_what, reason, spoil) => {
  await spoil();

  await expect(readVersionFolder(folder)).rejects.toThrow(
    reason === 'model.json' ? 'options' : reason,
  );
});
