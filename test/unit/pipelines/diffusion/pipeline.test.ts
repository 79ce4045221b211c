/* Images by a real model process: what diffusers makes of the same noise, and what goes on where it was cut. */
import { execFileSync } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { joined, type Part } from '../../../../src/contract/work.ts';
import type { ProcessModelRuntime } from '../../../../src/runtime/process-runtime.ts';
import type { Inference, InferenceRequest } from '../../../../src/runtime/runtime.ts';
import { inferOn, openRuntime, outputOf } from '../../../support/runtimes.ts';
import { addSlowDigits } from '../../../support/slow-digits.ts';

let runtime: ProcessModelRuntime;
let models: string;

/** Long enough for a checkpoint and a preview. */
const SLOW = { num_inference_steps: 12, step_delay_ms: 120 };

beforeAll(async () => {
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  for (const [name, options] of [
    ['tiny', {}],
    ['slow', SLOW],
  ] as const) {
    const folder = join(models, name, '1');
    await cp('test/fixtures/diffusion/tiny', folder, { recursive: true });
    const manifest = { pipeline: 'diffusion', options, resources: { memory_mb: 512 } };
    await writeFile(join(folder, 'model.json'), JSON.stringify(manifest));
  }
  await addSlowDigits(models, 110);
  runtime = await openRuntime([models, 'models']);
});
afterAll(async () => {
  await runtime.close();
  await rm(models, { recursive: true });
});

const infer = async (
  model: string,
  options: InferenceRequest['options'],
  more: Partial<InferenceRequest> = {},
): Promise<Inference> =>
  await inferOn(runtime, model, { prompt: 'a handwritten seven' }, { options, ...more });

test('the tiny model gives the pixels that torch and diffusers give', () => {
  const script = 'test/support/reference-diffusion.mjs';
  const result = JSON.parse(execFileSync(process.execPath, [script], { encoding: 'utf8' })) as {
    [kind: string]: { latents: number; pixels: number } | number;
  };

  expect(Number(result['negative'])).toBeLessThan(1e-5);
  expect(Number(result['prompt'])).toBeLessThan(1e-5);
  for (const kind of ['ddim', 'euler', 'dpm++2m']) {
    const { latents, pixels } = result[kind] as { latents: number; pixels: number };
    expect(latents).toBeLessThan(2.3e-5);
    expect(pixels).toBe(0);
  }
});

test.each(['ddim', 'euler', 'euler_ancestral', 'dpmpp_2m', 'lcm'])(
  'a run with %s that is cut gives the same bytes as one that is not',
  async (scheduler) => {
    const parts: Part[] = [];
    const options = { seed: 7, scheduler, eta: scheduler === 'ddim' ? 0.5 : 0 };
    const whole = await infer('slow', options, { onPart: (part) => parts.push(part) });
    const at = parts.find((part) => part['checkpoint'] !== undefined) ?? null;
    const messages: string[] = [];
    const rest = await infer('slow', options, {
      before: at,
      onProgress: ({ message }) => messages.push(message),
    });
    const other = await infer('slow', { ...options, seed: 8 }, { before: at });

    expect(messages[0]).toBe(`step ${stepIn(at) + 1} of 12`); // no step before it is computed again
    expect(rest.files).toEqual(whole.files);
    expect(other.files).not.toEqual(whole.files);
  },
);

const stepIn = (part: Part | null): number =>
  (part?.['checkpoint'] as { step?: number } | undefined)?.step ?? 0;

test('a checkpoint of another device, or a damaged one, is not gone on with', async () => {
  const parts: Part[] = [];
  const whole = await infer('slow', { seed: 7 }, { onPart: (part) => parts.push(part) });
  const checkpoint = parts.find((part) => part['checkpoint'] !== undefined)?.['checkpoint'];
  const changes = [
    { origin: 'another' },
    { latents: 'AAAA' },
    { image: 3 },
    { step: 'x' },
    { step: 13 },
    { before: null }, // which dpmpp_2m needs
  ];
  for (const change of changes) {
    const before = { checkpoint: { ...(checkpoint as object), ...change } } as Part;
    const messages: string[] = [];
    const onProgress = ({ message }: { message: string }) => messages.push(message);
    const again = await infer('slow', { seed: 7 }, { before, onProgress });

    expect(messages[0]).toBe('step 1 of 12');
    expect(again.files).toEqual(whole.files);
  }
});

test('a preview shows the image half way, and a stopped run shows where it was', async () => {
  const parts: Part[] = [];
  const stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let firstStep = 0;
  const stopped = infer(
    'slow',
    { seed: 7 },
    {
      signal: stop.signal,
      onPart: (part) => {
        parts.push(part);
        const { step = 0 } = (part['preview'] ?? {}) as { step?: number };
        if (step > 0 && timer === undefined) {
          // Between two previews, so that only stopping can tell where it was.
          firstStep = step;
          timer = setTimeout(() => stop.abort(new Error('enough')), 300);
        }
      },
    },
  );
  await expect(stopped).rejects.toThrow('enough');
  const preview = parts.findLast((part) => part['preview'] !== undefined)?.['preview'] as
    { step: number; data: string } | undefined;
  const { width, height, format } = await sharp(
    Buffer.from(preview?.data ?? '', 'base64'),
  ).metadata();

  expect(firstStep).toBeGreaterThan(0);
  expect(preview?.step).toBeGreaterThan(firstStep);
  expect({ width, height, format }).toEqual({ width: 16, height: 16, format: 'png' });
});

test('one seed gives one image, alone or among others, and says how it was made', async () => {
  const one = await infer('tiny', { seed: 3, num_inference_steps: 3 });
  const several = await infer('tiny', { seed: 3, num_inference_steps: 3, num_outputs: 3 });
  const bare = await infer('tiny', { seed: 3, num_inference_steps: 3, metadata: false });
  const [file] = one.files;
  const text = Buffer.from(file?.bytes ?? []).toString('latin1');

  expect(outputOf(one)).toEqual({ seed: 3, images: [{ width: 16, height: 16, flagged: null }] });
  expect(several.files).toHaveLength(3);
  expect(several.files[0]).toEqual(file);
  expect(several.files[1]).not.toEqual(file);
  expect(text).toContain(
    'a handwritten seven\nSteps: 3, Sampler: dpmpp_2m, CFG scale: 7.5, Seed: 3',
  );
  expect(await pixels(bare.files[0]?.bytes)).toEqual(await pixels(file?.bytes));
  expect(Buffer.from(bare.files[0]?.bytes ?? []).toString('latin1')).not.toContain('Steps');
});

const pixels = async (bytes: Uint8Array | undefined): Promise<Buffer> =>
  await sharp(bytes ?? new Uint8Array())
    .removeAlpha()
    .raw()
    .toBuffer();

test.each(['png', 'webp', 'jpeg'])(
  'an image comes as %s in the size that was asked for',
  async (format) => {
    const options = {
      seed: 1,
      num_inference_steps: 2,
      output_format: format,
      width: 32,
      height: 24,
    };
    const { files } = await infer('tiny', options);
    const found = await sharp(files[0]?.bytes ?? new Uint8Array()).metadata();

    expect(files[0]?.mediaType).toBe(`image/${format}`);
    expect(found).toMatchObject({ format, width: 32, height: 24 });
  },
);

test('a run that begins with an image keeps of it what it is told to', async () => {
  const image = await sharp({
    create: { width: 64, height: 64, channels: 3, background: 'white' },
  })
    .composite([
      {
        input: Buffer.from(
          '<svg width="64" height="64"><rect x="24" y="8" width="8" height="48"/></svg>',
        ),
      },
    ])
    .png()
    .toBuffer();
  const run = async (strength: number) => {
    const { files } = await inferOn(
      runtime,
      'digits',
      {},
      {
        input: {
          prompt: { kind: 'value', value: 'a handwritten one' },
          image: { kind: 'media', bytes: image },
        },
        options: { seed: 5, strength },
      },
    );
    const [found, given] = [await pixels(files[0]?.bytes), await pixels(image)];
    return (
      found.reduce((sum, value, at) => sum + Math.abs(value - (given[at] ?? 0)), 0) / found.length
    );
  };
  const [little, much] = [await run(0.05), await run(1)];

  expect(little).toBeLessThan(20); // of 255
  expect(much).toBeGreaterThan(little);
});

test('with little memory only one graph is loaded beside the network, and only while it is used', () => {
  const loaded = (memoryMb: number) =>
    JSON.parse(
      execFileSync(process.execPath, ['test/support/loaded-networks.mjs', String(memoryMb)], {
        encoding: 'utf8',
      }),
    ) as Record<string, string[]>;
  const [unet, text, vae] = ['unet', 'text_encoder', 'vae_decoder'].map(
    (name) => `${name}/model.onnx`,
  ) as [string, string, string];
  const all = expect.arrayContaining([unet, text, vae]) as string[];

  expect(loaded(1)).toEqual({
    opened: [unet],
    [`using ${text}`]: [unet, text],
    'text encoded': [unet],
    [`using ${vae}`]: [unet, vae],
    'image decoded': [unet],
  });
  expect(loaded(512)).toMatchObject({ opened: all, 'text encoded': all, 'image decoded': all });
});

test('cut between several images that begin with an image, it gives the same bytes', async () => {
  const image = await sharp({ create: { width: 64, height: 64, channels: 3, background: 'grey' } })
    .png()
    .toBuffer();
  const run = async (more: Partial<InferenceRequest> = {}) =>
    await inferOn(
      runtime,
      'slow-digits',
      {},
      {
        input: {
          prompt: { kind: 'value', value: 'a handwritten one' },
          image: { kind: 'media', bytes: image },
        },
        options: { seed: 5, strength: 0.6, num_outputs: 2, scheduler: 'dpmpp_2m' },
        ...more,
      },
    );
  let told: Part | null = null;
  let at: Part | null = null;
  const whole = await run({
    onPart: (part) => {
      told = joined(told, part);
      const { image: current = 0 } = (part['checkpoint'] ?? {}) as { image?: number };
      if (current === 1) at ??= told;
    },
  });
  const messages: string[] = [];
  const rest = await run({ before: at, onProgress: ({ message }) => messages.push(message) });

  expect(messages[0]).toMatch(/^image 2 of 2, step /);
  expect(rest.files).toEqual(whole.files);
});
