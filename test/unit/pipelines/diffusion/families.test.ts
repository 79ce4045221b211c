/* What the networks of the families are told: a model whose picture is the number that it was told. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { ClipTokenizer } from '../../../../src/pipelines/diffusion/clip-tokenizer.ts';
import type { ProcessModelRuntime } from '../../../../src/runtime/process-runtime.ts';
import {
  addNumberModel,
  type NumberModel,
  POOLED_SCALE,
  TIME_SCALE,
  XL_SCALES,
} from '../../../support/diffusion-graphs.ts';
import { inferOn, openRuntime, outputOf } from '../../../support/runtimes.ts';

let runtime: ProcessModelRuntime;
let models: string;
let tokenizer: ClipTokenizer;

const PROMPT = 'zz';
const FAMILIES: Readonly<Record<string, NumberModel>> = {
  plain: {},
  old: { isOld: true },
  xl: { isXl: true },
  lcm: { guidanceWidth: 4 },
  checked: { hasChecker: true },
  broken: { isBroken: true },
};

beforeAll(async () => {
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  for (const [name, model] of Object.entries(FAMILIES)) {
    await addNumberModel(join(models, name, '1'), model);
  }
  runtime = await openRuntime([models]);
  const folder = 'test/fixtures/diffusion/tiny/tokenizer';
  tokenizer = await ClipTokenizer.open({
    config: join(folder, 'tokenizer_config.json'),
    whole: undefined,
    vocabulary: join(folder, 'vocab.json'),
    merges: join(folder, 'merges.txt'),
  });
});
afterAll(async () => {
  await runtime.close();
  await rm(models, { recursive: true });
});

/** What the picture says, as the network said it. */
async function told(model: string, options: object, input: object = {}): Promise<number> {
  const inference = await inferOn(
    runtime,
    model,
    { prompt: PROMPT, ...input },
    {
      options: { seed: 1, num_inference_steps: 1, ...options },
    },
  );
  const pixels = await sharp(inference.files[0]?.bytes ?? new Uint8Array())
    .raw()
    .toBuffer();
  expect(new Set(pixels).size).toBe(1); // whatever the noise
  return ((pixels[0] ?? 0) / 255) * 2 - 1;
}

/** The mean of the tokens of a text, by the scale of the encoders. */
const meanOf = (text: string): number => {
  const ids = tokenizer.encode(text);
  return ids.reduce((sum, id) => sum + id, 0) / ids.length / 1000;
};
const STEP = 2 / 255; // what one shade of grey stands for

test.each(['plain', 'old'])(
  '%s: the last layer, led away from the negative prompt',
  async (name) => {
    const low = '! '.repeat(20); // far from the prompt
    const [prompt, negative] = [meanOf(PROMPT), meanOf(low)];
    const alone = await told(name, { guidance_scale: 1 });
    const guided = await told(name, { guidance_scale: 2 }, { negative_prompt: low });

    expect(Math.abs(alone - prompt)).toBeLessThan(STEP);
    expect(Math.abs(guided - (negative + 2 * (prompt - negative)))).toBeLessThan(STEP);
  },
);

test('xl: the last layer but one of both encoders, the whole of the second, and the sizes', async () => {
  const [first, second] = XL_SCALES;
  const sizes = ((2 * (16 + 8)) / 6) * TIME_SCALE;
  const textOf = (text: string) =>
    meanOf(text) * ((2 * first + 2 * second) / 2 + second * POOLED_SCALE);
  const run = async (guidance: number, input: object = {}) =>
    await told('xl', { width: 16, height: 8, guidance_scale: guidance }, input);
  const low = '! '.repeat(40);
  const led = textOf(low) + 2 * (textOf(PROMPT) - textOf(low));

  expect(Math.abs((await run(1)) - (sizes + textOf(PROMPT)))).toBeLessThan(STEP);
  // An absent negative prompt is nothing, not an empty text.
  expect(Math.abs((await run(2)) - (sizes + 2 * textOf(PROMPT)))).toBeLessThan(STEP);
  expect(Math.abs((await run(2, { negative_prompt: low })) - (sizes + led))).toBeLessThan(STEP);
});

test('lcm: the guidance as sines and cosines, and no second run', async () => {
  const angle = (guidance: number) => [1000 * (guidance - 1), 0.1 * (guidance - 1)];
  const embedded = (guidance: number) => {
    const [fast = 0, slow = 0] = angle(guidance);
    return (Math.sin(fast) + Math.sin(slow) + Math.cos(fast) + Math.cos(slow)) / 4;
  };
  for (const guidance of [1, 1.5, 4]) {
    const said = await told('lcm', { guidance_scale: guidance });
    const expected = Math.max(-1, Math.min(1, meanOf(PROMPT) + embedded(guidance)));
    expect(Math.abs(said - expected)).toBeLessThan(STEP);
  }
});

test.each<[string, NumberModel, string]>([
  ['whose autoencoder has another scale', { vaeBlocks: 2 }, 'it should be 16×16'],
  ['whose prompts are longer than its encoder takes', { promptLength: 20 }, 'input_ids'],
  ['whose tokenizer has no length', { tokenizer: { model_max_length: 0 } }, 'model_max_length'],
])('a model %s is not loaded', async (_what, model, reason) => {
  const folder = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await addNumberModel(join(folder, 'wrong', '1'), model);
  const own = await openRuntime([folder]);
  try {
    await expect(inferOn(own, 'wrong', { prompt: PROMPT })).rejects.toThrow(reason);
  } finally {
    await own.close();
    await rm(folder, { recursive: true });
  }
});

test('what is no number is an error, not a black picture', async () => {
  const run = inferOn(runtime, 'broken', { prompt: PROMPT }, { options: { seed: 1 } });

  await expect(run).rejects.toThrow('step 1 gave what is no finite number');
});

test('a picture that its checker finds is black, and says so', async () => {
  const run = async (prompt: string, guidance: number) => {
    const options = { seed: 1, num_inference_steps: 1, guidance_scale: guidance };
    const inference = await inferOn(runtime, 'checked', { prompt }, { options });
    const pixels = await sharp(inference.files[0]?.bytes ?? new Uint8Array())
      .raw()
      .toBuffer();
    return { output: outputOf(inference), light: Math.max(...pixels) };
  };
  const bright = await run(PROMPT, 1);
  const dark = await run('! '.repeat(60), 5);

  expect(bright).toMatchObject({ output: { images: [{ flagged: true }] }, light: 0 });
  expect(dark).toMatchObject({ output: { images: [{ flagged: false }] } });
});
