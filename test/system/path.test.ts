import { readFile } from 'node:fs/promises';
import type { Prediction } from '../../src/contract/prediction.ts';
import { affine, burn, Service } from '../support/service.ts';

let service: Service;
let page: Buffer;

beforeAll(async () => {
  service = await Service.start({ BUZZER_RESPONSE_INLINE_LIMIT: '4KiB' });
  page = await readFile('examples/page.png');
});
afterAll(async () => await service.close());

const PAGE_TEXT = [
  'The kitchen closed at half past nine.',
  'Order 4711 was still on the stove,',
  'and nobody had told table twelve.',
  'When the new cook came in, she read',
  'the slip, lit the burner again, and',
  'rang the bell at 21:47.',
  'Total: 38.50 EUR, paid in cash.',
].join('\n');

test('a scanned page sent as raw bytes comes back as text', async () => {
  const response = await fetch(`${service.url}/v1/models/ocr/predictions`, {
    method: 'POST',
    headers: { 'Content-Type': 'image/png', Prefer: 'wait' },
    body: page,
  });
  const record = (await response.json()) as Prediction;

  expect(response.status).toBe(200);
  expect(response.headers.get('Preference-Applied')).toBe('wait=60');
  expect(response.headers.get('Location')).toBe(record.urls.get);
  expect(record).toMatchObject({
    object: 'prediction',
    model: 'ocr',
    version: 1,
    status: 'succeeded',
    input: { image: { bytes: page.length, media_type: 'image/png' } },
    output: { text: PAGE_TEXT, page: { width: 768, height: 384 } },
    error: null,
    attempt: 1,
    metrics: { batch_size: 1, device: 'cpu' },
  });
  const { lines } = record.output as { lines: { confidence: number; box: number[][] }[] };
  expect(lines).toHaveLength(7);
  expect(Math.min(...lines.map((line) => line.confidence))).toBeGreaterThan(0.9);
});

test('the same page as a data URL in JSON is read the same', async () => {
  const image = `data:image/png;base64,${page.toString('base64')}`;
  const response = await service.post({ model: 'ocr@1', input: { image } }, { Prefer: 'wait=30' });
  const record = (await response.json()) as Prediction;

  expect(response.status).toBe(200);
  expect(record.output).toMatchObject({ text: PAGE_TEXT });
});

test('a prediction is accepted with 202 and read until it has ended', async () => {
  const response = await service.post({ model: 'affine', input: affine(20) });
  const accepted = (await response.json()) as Prediction;
  const ended = await service.ended(accepted.id);

  expect(response.status).toBe(202);
  expect(response.headers.get('Retry-After')).toBe('1');
  expect(accepted).toMatchObject({ status: 'queued', output: null, completed_at: null });
  expect(Object.keys(accepted).toSorted()).toEqual(Object.keys(ended).toSorted());
  expect(ended).toMatchObject({
    status: 'succeeded',
    output: { outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 1], data: [41] }] },
    progress: null,
    queue: null,
  });
});

test('input and output can be fetched as they are', async () => {
  const response = await fetch(`${service.url}/v1/models/ocr/predictions`, {
    method: 'POST',
    headers: { 'Content-Type': 'image/png', Prefer: 'wait' },
    body: page,
  });
  const record = (await response.json()) as Prediction;
  const output = await fetch(record.urls.output);
  const input = await fetch(`${record.urls.get}/input/image`);

  expect(await output.json()).toMatchObject({ text: PAGE_TEXT });
  expect(input.headers.get('Content-Type')).toBe('image/png');
  expect(Buffer.from(await input.arrayBuffer()).equals(page)).toBe(true);
  expect((await fetch(`${record.urls.get}/input/nothing`)).status).toBe(404);

  const head = await fetch(`${record.urls.get}/input/image`, { method: 'HEAD' });
  expect(head.headers.get('Content-Length')).toBe(String(page.length));
  const known = { 'If-None-Match': head.headers.get('ETag') ?? '' };
  expect((await fetch(`${record.urls.get}/input/image`, { headers: known })).status).toBe(304);
});

test('an output above the answer limit is reached by its URL', async () => {
  const data = Array.from({ length: 2000 }, (_, index) => index);
  const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 2000], data }];
  const response = await service.post({ model: 'affine', input: { inputs } }, { Prefer: 'wait' });
  const record = (await response.json()) as Prediction;

  expect(record).toMatchObject({
    status: 'succeeded',
    output: null,
    output_url: record.urls.output,
    input: { inputs: { media_type: 'application/json' } },
  });
  const output = (await (await fetch(record.urls.output)).json()) as {
    outputs: { data: number[] }[];
  };
  expect(output.outputs[0]?.data).toEqual(data.map((value) => 2 * value + 1));

  // A list or an event has no place for it either: it says how large it is.
  const list = await fetch(`${service.url}/v1/predictions?include=output&model=affine`);
  const [listed] = ((await list.json()) as { data: readonly Prediction[] }).data;
  const bytes = Buffer.byteLength(JSON.stringify(output));
  expect(listed?.output).toMatchObject({ url: record.urls.output, bytes });
  const events = await (await fetch(`${record.urls.get}/events?include=output`)).text();
  expect(events).toContain(JSON.stringify(listed?.output));
});

test('waiting is bounded, and hanging up cancels nothing', async () => {
  const { id } = await service.submit('burn', burn(3));
  const startedAt = Date.now();
  const short = await fetch(`${service.url}/v1/predictions/${id}?wait=0.5`);
  const shortRecord = (await short.json()) as Prediction;
  const tookMs = Date.now() - startedAt;
  const hangUp = new AbortController();
  const hanging = fetch(`${service.url}/v1/predictions/${id}?wait=60`, { signal: hangUp.signal });
  hangUp.abort();
  await expect(hanging).rejects.toThrow('aborted');

  expect(shortRecord.completed_at).toBeNull();
  expect(tookMs).toBeLessThan(2000);
  const whole = await fetch(`${service.url}/v1/predictions/${id}?wait=60`);
  expect(await whole.json()).toMatchObject({ status: 'succeeded', attempt: 1 });
});

test('an ended prediction without output says so at /output; a running one answers 202', async () => {
  const { id, urls } = await service.submit('burn', burn(30));
  await service.processing(id);
  const running = await fetch(urls.output);
  await service.cancel(id);
  await service.ended(id);
  const ended = await fetch(urls.output);

  expect(running.status).toBe(202);
  expect(ended.status).toBe(409);
  expect(await ended.json()).toMatchObject({ code: 'not_ready' });
});

test('lists show whole records by status and model, page by page', async () => {
  for (const value of [1, 2, 3]) {
    await service.post({ model: 'affine', input: affine(value) }, { Prefer: 'wait' });
  }
  const list = async (query: string) =>
    (await (await fetch(`${service.url}/v1/predictions?${query}`)).json()) as {
      data: Prediction[];
      has_more: boolean;
      next_cursor: string | null;
    };
  const first = await list('model=affine@1&status=succeeded&limit=2');
  const second = await list(`model=affine@1&status=succeeded&limit=2&cursor=${first.next_cursor}`);

  expect(first.data).toHaveLength(2);
  expect(first.has_more).toBe(true);
  expect(second.data.length).toBeGreaterThan(0);
  const ids = [...first.data, ...second.data].map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(first.data[0]).toMatchObject({ model: 'affine', status: 'succeeded', error: null });
  expect((await list('status=aborted')).data).toEqual([]);
});

test('models are documented with schemas, signatures and their workers', async () => {
  const list = (await (await fetch(`${service.url}/v1/models`)).json()) as {
    data: { name: string }[];
  };
  const ocr = await (await fetch(`${service.url}/v1/models/ocr`)).json();
  const affineModel = await (await fetch(`${service.url}/v1/models/affine@1`)).json();

  expect(list.data.map(({ name }) => name)).toEqual([
    'affine',
    'babble',
    'burn',
    'digits',
    'document',
    'mlp',
    'ocr',
    'sentiment',
    'voice-activity',
  ]);
  expect(ocr).toMatchObject({
    pipeline: 'ocr',
    media: { image: ['image/png', 'image/jpeg', 'image/tiff', 'image/webp'] },
    input_schema: { type: 'object', required: ['image'] },
    state: 'ready',
    workers: [{ state: 'ready', device: 'cpu', slots: 2 }],
  });
  expect(affineModel).toMatchObject({
    graphs: { model: { inputs: [{ name: 'x', datatype: 'FP32', shape: ['batch', 'n'] }] } },
  });
});

test('the service tells where things are and how it is', async () => {
  const index = await (await fetch(`${service.url}/v1`)).json();

  expect(index).toMatchObject({ urls: { predictions: `${service.url}/v1/predictions` } });
  expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
  expect(await (await fetch(`${service.url}/readyz`)).json()).toEqual({
    status: 'ready',
    checks: { engine: 'ok', storage: 'ok' },
  });
});
