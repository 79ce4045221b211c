/* Models of Hugging Face over HTTP: what they answer, and what is refused before anything runs. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import type { Prediction } from '../../src/contract/prediction.ts';
import { Service } from '../support/service.ts';
import { addTransformersModels } from '../support/transformers.ts';

let service: Service;
let models: string;

beforeAll(async () => {
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await addTransformersModels(models);
  service = await Service.start({ BUZZER_MODELS: `models,${models}` });
});
afterAll(async () => {
  await service.close();
  await rm(models, { recursive: true });
});

const post = async (model: string, input: unknown, options: object = {}) => {
  const response = await service.post({ model, input, options }, { Prefer: 'wait' });
  return { status: response.status, body: (await response.json()) as Prediction };
};

test('sentiment works out of the box', async () => {
  const { status, body } = await post('sentiment', { inputs: 'What a wonderful day!' });

  expect(status).toBe(200);
  expect(body).toMatchObject({
    status: 'succeeded',
    output: [{ label: 'POSITIVE' }, { label: 'NEGATIVE' }],
    metrics: { device: 'cpu' },
  });
});

test('a hundred sentiments at once are all there, each its own', async () => {
  const accepted = await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const inputs = index % 2 === 0 ? `good number ${index}` : `terrible number ${index}`;
      return await service.submit('sentiment', { inputs });
    }),
  );
  for (const [index, { id }] of accepted.entries()) {
    const label = index % 2 === 0 ? 'POSITIVE' : 'NEGATIVE';
    expect((await service.ended(id)).output).toMatchObject([{ label }, {}]);
  }
});

test('an image comes as its own bytes', async () => {
  const create = {
    width: 40,
    height: 20,
    channels: 3,
    background: { r: 0, g: 255, b: 0 },
  } as const;
  const response = await fetch(
    `${service.url}/v1/models/image-classification/predictions?wait=30`,
    {
      method: 'POST',
      headers: { 'Content-Type': 'image/png' },
      body: new Uint8Array(await sharp({ create }).png().toBuffer()),
    },
  );
  expect(((await response.json()) as Prediction).output).toMatchObject([
    { label: 'green' },
    {},
    {},
  ]);
});

test.each([
  ['an empty text', 'sentiment', { inputs: '' }, {}],
  ['a text of 5 MB', 'sentiment', { inputs: 'x'.repeat(5_000_000) }, {}],
  ['a number', 'sentiment', { inputs: 5 }, {}],
  ['NUL', 'sentiment', { inputs: 'a\0b' }, {}],
  ['half a character', 'sentiment', { inputs: 'a\ud800b' }, {}],
  ['another field', 'sentiment', { inputs: 'a', text: 'b' }, {}],
  ['top_k of 0', 'sentiment', { inputs: 'a' }, { top_k: 0 }],
  ['a knob of another task', 'sentiment', { inputs: 'a' }, { pooling: 'cls' }],
  ['no labels', 'zero-shot-classification', { inputs: 'a', candidate_labels: [] }, {}],
  [
    'many labels',
    'zero-shot-classification',
    { inputs: 'a', candidate_labels: Array(101).fill('b') },
    {},
  ],
  ['a path for an image', 'image-classification', { inputs: '/etc/passwd' }, {}],
  ['a file URL for an image', 'image-classification', { inputs: 'file:///etc/passwd' }, {}],
  [
    'text for an image',
    'image-classification',
    { inputs: `data:image/png;base64,${btoa('hello')}` },
    {},
  ],
])('%s is refused, and nothing runs', async (_what, model, input, options) => {
  const { status, body } = await post(model, input, options);
  expect([status, (body as unknown as { code: string }).code]).toEqual([422, 'invalid_input']);
});
