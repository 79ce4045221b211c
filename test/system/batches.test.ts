/* Batches on the whole service: what goes in, what comes out, and what happens when something dies in between. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Batch, ItemResult } from '../../src/contract/batch.ts';
import { affineGraph } from '../../src/onnx/example-graphs.ts';
import { until } from '../support/conditions.ts';
import { hoardGraph, patientGraph } from '../support/graphs.ts';
import { startReceiver } from '../support/receiver.ts';
import { addModel } from '../support/runtimes.ts';
import { affine, hoard, modelProcesses, patient, Service } from '../support/service.ts';

let service: Service;
let models: string;

beforeAll(async () => {
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  const batching = { max_size: 8 };
  await addModel(models, 'affine', affineGraph(), { batching: { max_size: 64 } });
  await addModel(models, 'patient', patientGraph(), { timeouts: { run_s: 60 } });
  await addModel(models, 'hoard', hoardGraph(), { batching, resources: { memory_mb: 500 } });
  service = await Service.start({
    BUZZER_MODELS: `${models},models`,
    BUZZER_OUTBOUND_ALLOW: 'http://127.0.0.1',
    BUZZER_MAX_BATCH_ITEMS: '20000',
  });
});
afterAll(async () => {
  await service.close();
  await rm(models, { recursive: true });
});

const linesOf = (inputs: readonly unknown[]) =>
  inputs.map((input, n) => `${JSON.stringify({ custom_id: `item-${n}`, input })}\n`).join('');

const post = async (query: string, body: string, headers: Record<string, string> = {}) =>
  await fetch(`${service.url}/v1/batches?${query}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/jsonl', ...headers },
    body,
  });

async function submit(
  model: string,
  inputs: readonly unknown[],
  terms: object = {},
): Promise<Batch> {
  const query = new URLSearchParams({ model, request: JSON.stringify(terms) }).toString();
  const response = await post(query, linesOf(inputs));
  const batch = (await response.json()) as Batch;
  if (response.status !== 202) throw new Error(`${response.status}: ${JSON.stringify(batch)}`);
  return batch;
}

const read = async (id: string): Promise<Batch> =>
  (await (await fetch(`${service.url}/v1/batches/${id}`)).json()) as Batch;

async function ended({ id }: Batch): Promise<Batch> {
  const url = `${service.url}/v1/batches/${id}?wait=60`;
  return await until(
    `${id} to end`,
    async () => {
      const answer = await fetch(url).catch(() => undefined);
      const batch = answer?.status === 200 ? ((await answer.json()) as Batch) : undefined;
      return batch?.completed_at == null ? undefined : batch;
    },
    50_000,
  );
}

async function results({ urls }: Batch): Promise<readonly ItemResult[]> {
  const text = await (await fetch(urls.output)).text();
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as ItemResult);
}

const valueIn = ({ output }: ItemResult) =>
  (output as { outputs: { data: number[] }[] } | null)?.outputs[0]?.data[0];

/** Each item once, in the order of the input. */
function expectEachOnce(all: readonly ItemResult[], total: number): void {
  expect(all.map(({ index }) => index)).toEqual(Array.from({ length: total }, (_, n) => n));
  expect(all.every(({ custom_id, index }) => custom_id === `item-${index}`)).toBe(true);
}

test('ten thousand items: all results, in order, with few events', async () => {
  const total = 10_000;
  const batch = await submit(
    'affine',
    Array.from({ length: total }, (_, n) => affine(n)),
  );
  expect(batch).toMatchObject({ status: 'queued', priority: 5, request_counts: { total } });
  const done = await ended(batch);

  expect(done).toMatchObject({
    status: 'succeeded',
    request_counts: { total, succeeded: total, failed: 0, canceled: 0 },
    error: null,
    output_url: batch.urls.output,
  });
  const all = await results(done);
  expectEachOnce(all, total);
  expect(all.every((result) => valueIn(result) === 2 * result.index + 1)).toBe(true);
  const shown = await service.temporalCli('workflow', 'describe', '-w', batch.id, '-o', 'json');
  const { workflowExecutionInfo: info } = JSON.parse(shown) as {
    workflowExecutionInfo: { historyLength: string };
  };
  expect(Number(info.historyLength)).toBeLessThanOrEqual(50 * 10);
});

test('an item that fails fails alone, says why, and is all that a retry runs', async () => {
  const items = [
    { custom_id: 'good', input: affine(1) },
    { custom_id: 'wrong', input: { x: 'text' } },
    { custom_id: 'good too', input: affine(2) },
  ];
  const response = await fetch(`${service.url}/v1/batches`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ model: 'affine', items, metadata: { who: 'me' }, tags: ['nightly'] }),
  });
  expect(response.status).toBe(202);
  const done = await ended((await response.json()) as Batch);
  expect(done).toMatchObject({
    status: 'succeeded',
    request_counts: { total: 3, succeeded: 2, failed: 1 },
    metadata: { who: 'me' },
    tags: ['nightly'],
  });
  expect((await results(done))[1]).toMatchObject({
    custom_id: 'wrong',
    status: 'failed',
    output: null,
    error: { code: 'invalid_input', retryable: false },
  });

  const again = await fetch(done.urls.retry, { method: 'POST' });
  const second = await ended((await again.json()) as Batch);
  expect(second).toMatchObject({ retry_of: done.id, request_counts: { total: 1, failed: 1 } });
  const good = await ended(await submit('affine', [affine()]));
  expect((await fetch(good.urls.retry, { method: 'POST' })).status).toBe(422);
});

test('an item that takes too much memory costs the others of its run nothing but time', async () => {
  const inputs = [1, 2, 3, 4, 5, 6].map((value) => hoard(value, value === 3 ? 2000 : 1));
  const done = await ended(await submit('hoard', inputs));
  const all = await results(done);

  expect(done.request_counts).toEqual({ total: 6, succeeded: 5, failed: 1, canceled: 0 });
  expect(all.map(valueIn)).toEqual([1, 2, undefined, 4, 5, 6]);
  expect(all[2]?.error?.code).toBe('out_of_memory');
});

test.each([
  ['a broken line', 'model=affine', `${linesOf([affine()])}{oops\n`, 422, /line 2: is not JSON/],
  ['no model', '', linesOf([affine()]), 400, /model is missing/],
  ['another model', 'model=nobody', linesOf([affine()]), 404, /no model nobody/],
  ['nothing', 'model=affine', '', 422, /empty/],
  ['an unknown option', 'model=affine&request={"options":{"x":1}}', linesOf([affine()]), 422, /x/],
  ['too many items', 'model=affine', linesOf(Array(20_001).fill(1)), 422, /more than 20000 items/],
])('%s is refused, and leaves nothing behind', async (_what, query, body, status, why) => {
  const response = await post(query, body);
  const { detail } = (await response.json()) as { detail: string };
  expect([response.status, detail]).toEqual([status, expect.stringMatching(why)]);
});

test('the same request with the same key is the same batch; another request is refused', async () => {
  const key = { 'Idempotency-Key': 'nightly-4711' };
  const once = (await (await post('model=affine', linesOf([affine()]), key)).json()) as Batch;
  const twice = await post('model=affine', linesOf([affine()]), key);
  expect(twice.headers.get('Idempotency-Replayed')).toBe('true');
  expect(((await twice.json()) as Batch).id).toBe(once.id);
  expect((await post('model=affine', linesOf([affine(2)]), key)).status).toBe(422);
  await ended(once);
});

test('canceled in the middle, what is done is kept, and the rest can be retried', async () => {
  const inputs = Array.from({ length: 60 }, (_, n) => patient(n, 0.2));
  const batch = await submit('patient', inputs);
  await until('some results', async () =>
    (await read(batch.id)).request_counts.succeeded > 0 ? true : undefined,
  );
  expect((await fetch(batch.urls.cancel, { method: 'POST' })).status).toBe(202);
  const done = await ended(batch);
  const all = await results(done);

  expect(done).toMatchObject({ status: 'canceled', error: null });
  const { succeeded, canceled } = done.request_counts;
  expect(succeeded).toBeGreaterThan(0);
  expect(canceled).toBe(60 - succeeded);
  expectEachOnce(all, 60);
  expect(all.filter(({ status }) => status === 'canceled')).toHaveLength(canceled);
  expect((await fetch(batch.urls.cancel, { method: 'POST' })).status).toBe(200);
});

test('its worker and its model process are killed in the middle: each item has one result', async () => {
  const total = 60;
  const inputs = Array.from({ length: total }, (_, n) => patient(n, 0.1));
  const batch = await submit('patient', inputs);
  const some = async (more: number) =>
    await until('more results', async () =>
      (await read(batch.id)).request_counts.succeeded >= more ? true : undefined,
    );
  await some(1);
  const [pid] = modelProcesses(service.inference.pid);
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
  await service.inference.signal('SIGKILL');
  await service.inference.start();
  await service.orchestration.signal('SIGKILL');
  await service.orchestration.start();
  const done = await ended(batch);
  const all = await results(done);

  expect(done).toMatchObject({ status: 'succeeded', request_counts: { total, succeeded: total } });
  expectEachOnce(all, total);
  expect(all.every((result) => valueIn(result) === result.index)).toBe(true);
});

test('its model is taken away in the middle, and put back: it goes on', async () => {
  await addModel(models, 'fleeting', patientGraph(), { timeouts: { run_s: 60 } });
  await until('the model', async () =>
    (await fetch(`${service.url}/v1/models/fleeting`)).status === 200 ? true : undefined,
  );
  const total = 60;
  const batch = await submit(
    'fleeting',
    Array.from({ length: total }, (_, n) => patient(n, 0.1)),
  );
  await until('results', async () =>
    (await read(batch.id)).request_counts.succeeded > 0 ? true : undefined,
  );
  await rm(join(models, 'fleeting'), { recursive: true });
  await until('the model to be gone', async () =>
    (await fetch(`${service.url}/v1/models/fleeting`)).status === 404 ? true : undefined,
  );
  expect((await read(batch.id)).completed_at).toBeNull();
  await addModel(models, 'fleeting', patientGraph(), { timeouts: { run_s: 60 } });
  const done = await ended(batch);
  expect(done).toMatchObject({ status: 'succeeded', request_counts: { total, succeeded: total } });
  expectEachOnce(await results(done), total);
});

test('single predictions come before its items', async () => {
  const batch = await submit(
    'patient',
    Array.from({ length: 40 }, (_, n) => patient(n, 0.2)),
  );
  await until('it to run', async () =>
    (await read(batch.id)).status === 'processing' ? true : undefined,
  );
  const sinceMs = Date.now();
  for (const value of [1, 2, 3]) {
    const { id } = await service.submit('patient', patient(value, 0.2));
    await service.ended(id);
  }
  const tookMs = Date.now() - sinceMs;
  expect((await read(batch.id)).completed_at).toBeNull();
  expect(tookMs).toBeLessThan(4 * (3 * 2 * 200 + 2000));
  await fetch(batch.urls.cancel, { method: 'POST' });
  await ended(batch);
});

test('whoever follows it sees the record, progress, and the final record', async () => {
  const batch = await submit(
    'patient',
    Array.from({ length: 30 }, (_, n) => patient(n, 0.15)),
  );
  const stream = await (await fetch(batch.urls.events)).text();
  const events = [...stream.matchAll(/^event: (.+)\ndata: (.+)$/gm)].map(
    ([, event, data]) => [event, JSON.parse(data ?? '') as Partial<Batch>] as const,
  );

  expect(events[0]?.[0]).toBe('batch');
  expect(events.some(([event]) => event === 'progress')).toBe(true);
  expect(events.at(-1)).toMatchObject(['batch', { status: 'succeeded' }]);
  const history = await fetch(batch.urls.history);
  const { data } = (await history.json()) as { data: { event: string }[] };
  expect(data[0]).toMatchObject({ event: 'accepted' });
  expect(data.at(-1)).toMatchObject({ event: 'ended' });
});

test('its receiver is told once it has ended, and again when asked', async () => {
  const receiver = await startReceiver();
  try {
    const webhook = { url: `${receiver.url}/done`, events: ['batch.succeeded'] };
    const batch = await submit('affine', [affine()], { webhook });
    const [told] = await receiver.at('/done');
    expect(JSON.parse(told?.body ?? '')).toMatchObject({
      type: 'batch.succeeded',
      data: { id: batch.id, status: 'succeeded', request_counts: { succeeded: 1 } },
    });
    // One that is being made is left alone.
    await until('it to be delivered', async () => {
      const list = (await (await fetch(batch.urls.webhook)).json()) as {
        data: { status: string }[];
      };
      return list.data[0]?.status === 'delivered' ? true : undefined;
    });
    const again = await fetch(`${batch.urls.webhook}/redeliver`, { method: 'POST' });
    expect(again.status).toBe(202);
    await receiver.at('/done', 2);
  } finally {
    await receiver.close();
  }
});

test('media that items give by URL is fetched first; what cannot be had fails its item', async () => {
  const page = await readFile('examples/page.png');
  const server = await startReceiver((path, response) => {
    response.statusCode = path === '/page.png' ? 200 : 404;
    response.setHeader('Content-Type', 'image/png');
    response.end(path === '/page.png' ? page : 'gone');
  });
  try {
    const image = `${server.url}/page.png`;
    const data = `data:image/png;base64,${page.toString('base64')}`;
    const inputs = [{ image }, { image: `${server.url}/gone.png` }, { image: data }, { image }];
    const done = await ended(await submit('ocr', inputs));
    const all = await results(done);
    expect(all.map(({ status }) => status)).toEqual([
      'succeeded',
      'failed',
      'succeeded',
      'succeeded',
    ]);
    expect(all[1]?.error).toMatchObject({ code: 'input_unavailable' });
    expect(all[3]?.output).toEqual(all[2]?.output);
  } finally {
    await server.close();
  }
  const forbidden = await post('model=ocr', linesOf([{ image: 'http://169.254.1.1/x.png' }]));
  expect([forbidden.status, await forbidden.text()]).toEqual([
    422,
    expect.stringContaining('/items/0/input/image'),
  ]);
  const many = Array.from({ length: 1001 }, () => ({ image: 'https://example.com/x.png' }));
  expect((await post('model=ocr', linesOf(many))).status).toBe(422);
});

test('a deleted one is gone, and lists show what is there', async () => {
  const [kept, gone] = [await submit('affine', [affine()]), await submit('affine', [affine()])];
  expect((await fetch(`${service.url}/v1/batches/${gone.id}/output`)).status).toBeLessThan(300);
  await Promise.all([ended(kept), ended(gone)]);
  expect((await fetch(gone.urls.get, { method: 'DELETE' })).status).toBe(204);
  for (const url of [gone.urls.get, gone.urls.output, gone.urls.history]) {
    expect((await fetch(url)).status).toBe(410);
  }
  const ids = await until('the list', async () => {
    const response = await fetch(`${service.url}/v1/batches?status=succeeded&limit=100`);
    const found = ((await response.json()) as { data: Batch[] }).data.map(({ id }) => id);
    return found.includes(kept.id) ? found : undefined;
  });
  expect(ids).not.toContain(gone.id);
});

test('only so many of a tenant run at once', async () => {
  const inputs = Array.from({ length: 50 }, (_, n) => patient(n, 0.2));
  const running: Batch[] = [];
  while (running.length < 4) {
    // Those before may count for a moment after their end.
    running.push(
      await until('a place', async () => await submit('patient', inputs).catch(() => undefined)),
    );
  }
  const fifth = await post('model=patient', linesOf(inputs));
  expect([fifth.status, ((await fifth.json()) as { code: string }).code]).toEqual([
    429,
    'rate_limited',
  ]);
  await Promise.all(running.map(async ({ urls }) => await fetch(urls.cancel, { method: 'POST' })));
  for (const batch of running) expect((await ended(batch)).status).toBe('canceled');
});
