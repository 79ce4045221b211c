/* Images: made, seen while they are made, gone on with after a crash, and refused when they cannot be made. */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { modelProcesses, Service } from '../support/service.ts';
import { addSlowDigits } from '../support/slow-digits.ts';

let service: Service;
let models: string;

interface Image {
  readonly url: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly media_type: string;
  readonly width: number;
  readonly height: number;
}

interface Output {
  readonly seed: number;
  readonly images: readonly Image[];
}

const STEPS = 20;

beforeAll(async () => {
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await addSlowDigits(models, 250);
  service = await Service.start({
    BUZZER_MODELS: `models,${models}`,
    BUZZER_HEARTBEAT_TIMEOUT: '4s',
  });
});
afterAll(async () => {
  await service.close();
  await rm(models, { recursive: true });
});

const submit = async (model: string, prompt: string, options: object = {}): Promise<Prediction> => {
  const response = await service.post({ model, input: { prompt }, options });
  expect(response.status).toBe(202);
  return (await response.json()) as Prediction;
};

async function made(model: string, prompt: string, options: object = {}): Promise<Prediction> {
  const { id } = await submit(model, prompt, options);
  const record = await service.ended(id);
  expect(record).toMatchObject({ status: 'succeeded' });
  return record;
}

const outputOf = ({ output }: Prediction): Output => output as unknown as Output;

async function bytesAt(url: string, headers: Record<string, string> = {}): Promise<Buffer> {
  const response = await fetch(url, { headers });
  expect(response.status).toBe(200);
  return Buffer.from(await response.arrayBuffer());
}

test('a digit is made as it was asked for, and lies at its URL', async () => {
  const record = await made('digits', 'a handwritten seven');
  const { seed, images } = outputOf(record);
  const [image] = images;
  const response = await fetch(image?.url ?? '');
  const bytes = Buffer.from(await response.arrayBuffer());

  expect(record).toMatchObject({ options: { seed }, output_url: null, partial_output: null });
  expect(image).toMatchObject({
    url: `${record.urls.output}/0`,
    bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    media_type: 'image/png',
    width: 64,
    height: 64,
  });
  expect(response.headers.get('content-type')).toBe('image/png');
  expect(await bytesAt(record.urls.output, { Accept: 'image/*' })).toEqual(bytes);
  const json = await fetch(record.urls.output);
  expect(await json.json()).toEqual(record.output);
  expect((await fetch(`${record.urls.output}/1`)).status).toBe(404);
  expect((await fetch(`${record.urls.output}/${'9'.repeat(400)}`)).status).toBe(404);
});

test('the same seed gives the same images, and each is readable alone', async () => {
  const options = { seed: 11, num_outputs: 3 };
  const [first, second] = [
    outputOf(await made('digits', 'a handwritten two', options)),
    outputOf(await made('digits', 'a handwritten two', options)),
  ];
  const hashes = (output: Output) => output.images.map(({ sha256 }) => sha256);

  expect(hashes(first)).toEqual(hashes(second));
  expect(new Set(hashes(first)).size).toBe(3);
  for (const { url, bytes } of second.images) expect(await bytesAt(url)).toHaveLength(bytes);
});

test('it is seen while it grows: progress, and previews that can be read', async () => {
  const { id, urls } = await submit('slow-digits', 'a handwritten eight', { seed: 4 });
  const seen = until('a preview', async () => {
    const record = await service.read(id);
    const partial = record.partial_output;
    if (partial === null || !('step' in partial)) return undefined;
    const response = await fetch(partial.url);
    const body = Buffer.from(await response.arrayBuffer());
    return { record, partial, type: response.headers.get('content-type'), body };
  });
  const events = await (await fetch(urls.events)).text();
  const { partial, record, type, body } = await seen;
  const named = (name: string) =>
    [...events.matchAll(new RegExp(`event: ${name}\\ndata: (.*)`, 'g'))].map(
      ([, data = '']) => JSON.parse(data) as { step: number },
    );
  const previews = named('partial_output');

  expect(partial).toMatchObject({ attempt: 1, image: 0, url: `${urls.get}/partial_output` });
  expect(record.progress?.message).toMatch(/^step \d+ of 20/);
  expect(type).toBe('image/png');
  expect(await sharp(body).metadata()).toMatchObject({ width: 64, height: 64 });
  expect(previews.length).toBeGreaterThan(2);
  expect(previews.length).toBeLessThanOrEqual((STEPS * 0.25 + 2) * 2); // two a second
  expect(previews.map(({ step }) => step)).toEqual(
    previews.map(({ step }) => step).toSorted((a, b) => a - b),
  );
  expect(named('progress').length).toBeGreaterThan(2);
  expect((await fetch(`${urls.get}/partial_output`)).status).toBe(404); // the image is there
});

test('killed while it is made, it goes on and becomes the same image', async () => {
  const options = { seed: 21 };
  const whole = outputOf(await made('slow-digits', 'a handwritten five', options));
  const { id } = await submit('slow-digits', 'a handwritten five', options);
  const stepAfter = async (step: number) =>
    await until(`step ${step}`, async () => {
      const { progress } = await service.read(id);
      const [, at] = /^step (\d+)/.exec(progress?.message ?? '') ?? [];
      return Number(at) >= step ? Number(at) : undefined;
    });
  await stepAfter(7);
  for (const pid of modelProcesses(service.inference.pid)) process.kill(pid, 'SIGKILL');
  await stepAfter(12);
  await service.inference.signal('SIGKILL');
  await service.inference.start();
  const last = await service.readUntil(id, 'to go on', (each) => {
    return each.completed_at !== null || (each.attempt > 2 && each.progress !== null);
  });
  const record = await service.ended(id);

  expect(record).toMatchObject({ status: 'succeeded' });
  expect(record.attempt).toBeGreaterThanOrEqual(3);
  expect(Number(/^step (\d+)/.exec(last.progress?.message ?? 'step 0')?.[1])).toBeGreaterThan(6);
  expect(outputOf(record).images[0]?.sha256).toBe(whole.images[0]?.sha256);
});

test('canceled, it keeps its last preview until it is deleted, and then nothing', async () => {
  const { id, urls } = await submit('slow-digits', 'a handwritten nine');
  await until('a preview', async () => {
    const { partial_output: partial } = await service.read(id);
    return partial !== null && 'step' in partial ? true : undefined;
  });
  await service.cancel(id);
  const record = await service.ended(id);
  const preview = await bytesAt(`${urls.get}/partial_output`);
  await fetch(urls.get, { method: 'DELETE' });

  expect(record).toMatchObject({ status: 'canceled', partial_output: { image: 0 } });
  expect(await sharp(preview).metadata()).toMatchObject({ format: 'png' });
  expect((await fetch(`${urls.get}/partial_output`)).status).toBe(410);
  await until(
    'its payloads to be gone',
    async () => await Promise.resolve(service.payloads().includes(id) ? undefined : true),
  );
});

/** What a batch of `digits` gives for each of its items, once it has succeeded. */
async function outputsOfBatch(batch: object): Promise<readonly Output[]> {
  const response = await fetch(`${service.url}/v1/batches`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ model: 'digits', ...batch }),
  });
  const { urls } = (await response.json()) as { urls: { get: string; output: string } };
  await until('the batch', async () => {
    const { status } = (await (await fetch(urls.get)).json()) as { status: string };
    return status === 'succeeded' ? true : undefined;
  });
  const lines = (await (await fetch(urls.output)).text()).trim().split('\n');
  return lines.map((line) => (JSON.parse(line) as { output: Output }).output);
}

test('in a batch each item has its image in its line', async () => {
  const items = ['one', 'two'].map((word) => ({
    custom_id: word,
    input: { prompt: `a handwritten ${word}` },
  }));
  const again = { ...items[0], custom_id: 'again', options: { seed: 4 } };
  const batch = { options: { seed: 3 }, items: [...items, again] };
  const outputs = await outputsOfBatch(batch);
  const alone = outputOf(await made('digits', 'a handwritten one', { seed: 3 }));

  expect(outputs).toHaveLength(3);
  expect(outputs[2]?.images[0]?.sha256).not.toBe(outputs[0]?.images[0]?.sha256);
  expect(outputs[0]?.images[0]?.url).toMatch(/^data:image\/png;base64,/);
  expect(outputs[0]?.images[0]?.sha256).toBe(alone.images[0]?.sha256);
});

test('without a seed, the items of a batch have seeds of their own', async () => {
  const items = Array.from({ length: 6 }, (_, index) => ({
    custom_id: String(index),
    input: { prompt: 'a handwritten three' },
  }));
  const outputs = await outputsOfBatch({ items });

  expect(new Set(outputs.map(({ seed }) => seed)).size).toBe(6);
  expect(new Set(outputs.map(({ images }) => images[0]?.sha256)).size).toBe(6);
});

test.each<[string, object, object]>([
  ['an empty prompt', { prompt: '' }, {}],
  ['a prompt of spaces', { prompt: '  \n' }, {}],
  ['no prompt', {}, {}],
  ['a prompt of 100 KB', { prompt: 'a'.repeat(100_000) }, {}],
  ['a prompt that is a list', { prompt: ['a'] }, {}],
  ['a width of 0', { prompt: 'a' }, { width: 0 }],
  ['a width of 7', { prompt: 'a' }, { width: 7 }],
  ['a height of a million', { prompt: 'a' }, { height: 1_000_000 }],
  ['no steps', { prompt: 'a' }, { num_inference_steps: 0 }],
  ['a million steps', { prompt: 'a' }, { num_inference_steps: 1_000_000 }],
  ['a guidance that is no number', { prompt: 'a' }, { guidance_scale: 'NaN' }],
  ['a guidance below 0', { prompt: 'a' }, { guidance_scale: -1 }],
  ['an unknown scheduler', { prompt: 'a' }, { scheduler: 'pndm' }],
  ['a seed below 0', { prompt: 'a' }, { seed: -1 }],
  ['a seed of 2^64', { prompt: 'a' }, { seed: 2 ** 64 }],
  ['no outputs', { prompt: 'a' }, { num_outputs: 0 }],
  ['a million outputs', { prompt: 'a' }, { num_outputs: 1_000_000 }],
  ['a format that there is not', { prompt: 'a' }, { output_format: 'gif' }],
  ['an option that there is not', { prompt: 'a' }, { steps: 3 }],
  ['more steps than LCM has', { prompt: 'a' }, { scheduler: 'lcm', num_inference_steps: 60 }],
  ['too much work', { prompt: 'a' }, { num_outputs: 10, num_inference_steps: 100 }],
])('%s is refused', async (_what, input, options) => {
  const response = await service.post({ model: 'digits', input, options });

  expect(response.status).toBe(422);
  expect(await response.json()).toMatchObject({ code: expect.any(String) });
});
