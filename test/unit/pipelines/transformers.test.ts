/* The transformers pipeline with real weights (sentiment), and with a fixture of the right shape for each other task. */
import { cp, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { ModelRepository } from '../../../src/models/repository.ts';
import type { ProcessModelRuntime } from '../../../src/runtime/process-runtime.ts';
import { inferOn, openRuntime, outputOf } from '../../support/runtimes.ts';
import { wav } from '../../support/wav.ts';
import { addTransformersModel, addTransformersModels } from '../../support/transformers.ts';

interface Score {
  readonly label: string;
  readonly score: number;
}

let folder: string;
let runtime: ProcessModelRuntime;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await addTransformersModels(folder);
  await cp('models/sentiment', join(folder, 'sentiment'), { recursive: true });
  runtime = await openRuntime([folder]);
});
afterAll(async () => {
  await runtime.close();
  await rm(folder, { recursive: true });
});

const run = async (model: string, input: object, options: object = {}) =>
  outputOf(await inferOn(runtime, model, input, { options: { ...options } }));

describe('sentiment', () => {
  test.each([
    ['I love this place, the food was great!', 'POSITIVE'],
    ['What a terrible waste of time and money.', 'NEGATIVE'],
  ])('%s', async (inputs, label) => {
    const [best, other] = (await run('sentiment', { inputs })) as Score[];

    expect(best?.label).toBe(label);
    expect((best?.score ?? 0) + (other?.score ?? 0)).toBeCloseTo(1);
    expect(await run('sentiment', { inputs }, { top_k: 1 })).toEqual([best]);
  });

  test('an answer does not depend on its batch mates', async () => {
    const texts = Array.from({ length: 24 }, (_, index) => `${'good '.repeat(index)}bad day`);
    const alone = await Promise.all(
      texts.map(async (inputs) =>
        outputOf(await inferOn(runtime, 'sentiment', { inputs }, { isAlone: true })),
      ),
    );
    const inferences = await Promise.all(
      texts.map(async (inputs) => await inferOn(runtime, 'sentiment', { inputs })),
    );

    for (const [index, scores] of inferences.map(outputOf).entries()) {
      // Padding changes the order in which the same numbers are added up: the seventh digit may differ.
      const expected = (alone[index] as Score[]).map(({ label, score }) => ({
        label,
        score: expect.closeTo(score, 6) as number,
      }));
      expect(scores).toEqual(expected);
    }
    expect(Math.max(...inferences.map(({ batchSize }) => batchSize))).toBeGreaterThan(1);
  });

  test('text of any length is cut at what the model reads, in no time', async () => {
    const [best] = (await run('sentiment', { inputs: 'great '.repeat(16_000) })) as Score[];
    expect(best?.label).toBe('POSITIVE');
  });
});

test('an embedding has length 1, and the same text has the same', async () => {
  const [one, two, other] = (await Promise.all(
    ['a cat', 'a cat', 'a dog'].map(async (inputs) => await run('feature-extraction', { inputs })),
  )) as [number[], number[], number[]];

  expect(one).toHaveLength(8);
  expect(Math.hypot(...one)).toBeCloseTo(1);
  expect(two).toEqual(one);
  expect(other).not.toEqual(one);
});

test('labels that come with the text get probabilities that add up to 1, the best first', async () => {
  const candidate_labels = ['delivery', 'payment', 'weather'];
  const input = {
    inputs: 'Where is my parcel?',
    candidate_labels,
    hypothesis_template: 'It is {}.',
  };
  const scores = (await run('zero-shot-classification', input)) as Score[];

  expect(scores.map(({ label }) => label).toSorted()).toEqual(candidate_labels);
  expect(scores.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1);
  expect(scores).toEqual(scores.toSorted((a, b) => b.score - a.score));
});

test.each([
  ['red', { r: 255, g: 0, b: 0 }],
  ['blue', { r: 0, g: 0, b: 255 }],
])('an image of %s is called so', async (label, background) => {
  const image = sharp({ create: { width: 40, height: 20, channels: 3, background } });
  const bytes = await image.png().toBuffer();
  const inference = await inferOn(
    runtime,
    'image-classification',
    {},
    {
      input: { inputs: { kind: 'media', bytes } },
      options: { top_k: 1 },
    },
  );

  expect(outputOf(inference)).toEqual([{ label, score: expect.any(Number) as number }]);
});

test('an image that is none is the fault of the input', async () => {
  const inferring = inferOn(
    runtime,
    'image-classification',
    {},
    {
      input: { inputs: { kind: 'media', bytes: Buffer.from('/etc/passwd') } },
    },
  );
  await expect(inferring).rejects.toThrow('the image cannot be decoded');
});

describe('speech', () => {
  const MODEL = 'automatic-speech-recognition';
  const hear = async (bytes: Uint8Array) =>
    await inferOn(runtime, MODEL, {}, { input: { inputs: { kind: 'media', bytes } } });

  test('a recording of any kind becomes text, the same each time', async () => {
    const [mp3, flac] = await Promise.all(
      ['examples/speech.mp3', 'test/fixtures/speech.flac'].map(
        async (path) => await readFile(path),
      ),
    );
    const { text } = outputOf(await hear(mp3 ?? Buffer.alloc(0))) as { text: string };

    expect(text).toMatch(/^[A-Z ]+$/);
    expect(outputOf(await hear(mp3 ?? Buffer.alloc(0)))).toEqual({ text });
    expect(outputOf(await hear(flac ?? Buffer.alloc(0)))).toEqual({
      text: expect.any(String) as string,
    });
  });

  test('a recording without a sample is the fault of the input', async () => {
    await expect(hear(wav([], { rate: 16_000 }))).rejects.toThrow(/no sound|no samples/);
  });
});

describe('input', () => {
  const problemOf = async (model: string, input: object) => {
    const version = (await ModelRepository.open([folder])).find(model, 1);
    const parsed = version?.schema.input.safeParse(input);
    return parsed?.error?.issues[0]?.message ?? null;
  };
  test.each([
    ['nothing', ''],
    ['5 MB', 'x'.repeat(5_000_000)],
    ['a number', 5],
    ['a list', ['a', 'b']],
    ['NUL', 'a\0b'],
    ['half a character', 'a\ud800b'],
  ])('of %s is refused', async (_what, inputs) => {
    for (const model of ['sentiment', 'feature-extraction', 'zero-shot-classification']) {
      expect(await problemOf(model, { inputs, candidate_labels: ['a'] })).not.toBeNull();
    }
  });

  test('of text, whole characters and emoji among it, is taken', async () => {
    expect(await problemOf('sentiment', { inputs: 'schön 👍🏽' })).toBeNull();
  });
});

describe('a manifest', () => {
  const files = { 'config.json': {}, 'onnx/model.onnx': 'models/sentiment/1/onnx/model.onnx' };
  const tokenizer = { 'tokenizer.json': {}, 'tokenizer_config.json': {} };
  const task = 'text-classification';
  const problemsOf = async (
    options: object,
    more: object = {},
    named: object = { ...files, ...tokenizer },
  ) => {
    const own = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
    await addTransformersModel(own, 'a', options, named as typeof files, more);
    const [broken] = (await ModelRepository.open([own])).broken();
    await rm(own, { recursive: true });
    return broken?.problems ?? [];
  };
  test.each([
    ['an unknown task', { task: 'poetry' }, 'options.task: must be one of'],
    ['no task', {}, 'options.task: must be one of'],
    ['an unknown dtype', { task, dtype: 'fp8' }, 'options.dtype: must be one of'],
    ['an unknown knob', { task, temperature: 1 }, 'options: temperature is not known here'],
    ['another task’s knob', { task, pooling: 'mean' }, 'options: pooling is not known here'],
    [
      'a dtype without its graph',
      { task, dtype: 'q8' },
      'files: must also name onnx/model_quantized.onnx',
    ],
  ])('with %s is refused', async (_what, options, problem) => {
    expect(await problemsOf(options)).toEqual([expect.stringContaining(problem)]);
  });

  test('without the tokenizer, without hashes, or with files elsewhere is refused', async () => {
    const path = 'onnx/model.onnx';
    const sha256 = '0'.repeat(64);
    expect(await problemsOf({ task }, {}, files)).toEqual([
      'files: must also name tokenizer.json, tokenizer_config.json',
    ]);
    expect(await problemsOf({ task }, { files: { model: { path } } })).toEqual([
      'files.model: needs its sha256',
    ]);
    const elsewhere = { files: { model: { path: 'onnx/../onnx/model.onnx', sha256 } } };
    expect(await problemsOf({ task }, elsewhere)).toEqual([
      'files.model: onnx/../onnx/model.onnx must lie in the folder of the version',
    ]);
  });

  test('of int8 weights batches only when the operator knows what that does', async () => {
    const dtype = 'int8';
    const named = {
      ...tokenizer,
      'config.json': {},
      'onnx/model_int8.onnx': files['onnx/model.onnx'],
    };
    const batching = { batching: { max_size: 4 } };
    expect(await problemsOf({ task, dtype }, batching, named)).toEqual([
      expect.stringContaining('set options.batch_changes_answers'),
    ]);
    expect(await problemsOf({ task, dtype, batch_changes_answers: true }, batching, named)).toEqual(
      [],
    );
    expect(await problemsOf({ task, dtype }, {}, named)).toEqual([]);
  });
});

test('a file that the library would open and nobody has named keeps a version from being served', async () => {
  const own = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await cp('models/sentiment', join(own, 'sentiment'), { recursive: true });
  await writeFile(join(own, 'sentiment', '1', 'generation_config.json'), '{}');
  const strict = await openRuntime([own]);
  try {
    await expect(inferOn(strict, 'sentiment', { inputs: 'x' })).rejects.toThrow(
      'generation_config.json lies in the folder, and files does not name it',
    );
  } finally {
    await strict.close();
    await rm(own, { recursive: true });
  }
});

test('a link that leads out of the folder keeps a version from being served', async () => {
  const own = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await cp('models/sentiment', join(own, 'sentiment'), { recursive: true });
  const tokenizer = join(own, 'sentiment', '1', 'tokenizer.json');
  await rename(tokenizer, join(own, 'elsewhere.json'));
  await symlink(join(own, 'elsewhere.json'), tokenizer);
  const strict = await openRuntime([own]);
  try {
    await expect(inferOn(strict, 'sentiment', { inputs: 'x' })).rejects.toThrow(
      'tokenizer.json is a link: the file itself must lie in the folder',
    );
  } finally {
    await strict.close();
    await rm(own, { recursive: true });
  }
});
