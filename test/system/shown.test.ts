/* What clients are shown, and the forms in which they may ask. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { HistoryEntry } from '../../src/contract/history.ts';
import type { Prediction } from '../../src/contract/prediction.ts';
import { affine, Service } from '../support/service.ts';
import { zipMapGraph } from '../support/graphs.ts';
import { addModel } from '../support/runtimes.ts';

let service: Service;
let models: string;

beforeAll(async () => {
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await addModel(models, 'classifier', zipMapGraph());
  service = await Service.start({ BUZZER_MODELS: `models,examples/models,${models}` });
});
afterAll(async () => {
  await service.close();
  await rm(models, { recursive: true });
});

interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly errors?: readonly { readonly pointer: string }[];
}

async function send(
  path: string,
  body: string | Uint8Array,
  type = 'application/json',
): Promise<{ status: number; headers: Headers; record: Prediction; problem: Problem }> {
  const answer = await fetch(`${service.url}${path}`, {
    method: 'POST',
    headers: { 'Content-Type': type },
    body,
  });
  const json: unknown = await answer.json();
  const { status, headers } = answer;
  return { status, headers, record: json as Prediction, problem: json as Problem };
}
const read = async <T>(path: string): Promise<T> =>
  (await (await fetch(`${service.url}${path}`)).json()) as T;

describe('tensors in a few words', () => {
  const outputOf = ({ record }: { record: Prediction }): unknown =>
    (record.output as { outputs: { data: unknown }[] } | null)?.outputs[0]?.data;
  const predict = async (input: unknown) =>
    await send('/v1/models/affine/predictions?wait=30', JSON.stringify({ input }));

  test.each([
    ['by name', { x: [[1, 2, 3]] }],
    ['the value alone', [[1, 2, 3]]],
    [
      'numpy’s name of a datatype',
      { inputs: [{ ...affine().inputs[0], datatype: 'float32', shape: [1, 3], data: [1, 2, 3] }] },
    ],
  ])('%s', async (_what, input) => {
    const answer = await predict(input);
    expect([answer.status, outputOf(answer)]).toEqual([200, [3, 5, 7]]);
  });

  test('what is ragged or of the wrong shape is refused with its place', async () => {
    const ragged = await predict({ x: [[1, 2], [3]] });
    expect([ragged.status, ragged.problem.errors?.[0]?.pointer]).toEqual([422, '/input/x/1']);
    const flat = await predict({ x: [1, 2] });
    expect([flat.status, flat.problem.detail]).toEqual([
      422,
      '/input/x: must be FP32 [batch, n], but is [2]',
    ]);
  });

  test('an .npy file as it is', async () => {
    const header = Buffer.from(
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }".padEnd(117) + '\n',
    );
    const head = Buffer.concat([
      Buffer.from('\x93NUMPY\x01\x00', 'latin1'),
      Buffer.from([header.length, 0]),
      header,
    ]);
    const npy = Buffer.concat([head, new Uint8Array(Float32Array.of(1, 2, 3).buffer)]);
    const path = '/v1/models/affine/predictions?wait=30';
    const answer = await send(path, npy, 'application/x-npy');
    expect([answer.status, outputOf(answer)]).toEqual([200, [3, 5, 7]]);
    const broken = await send(path, npy.subarray(0, -1), 'application/x-npy');
    expect([broken.status, broken.problem.code]).toEqual([422, 'invalid_input']);
  });

  test('another media type is told which are taken', async () => {
    const { status, problem } = await send('/v1/models/affine/predictions', 'x', 'text/plain');
    expect([status, problem.detail]).toEqual([
      415,
      'affine takes application/json, application/x-npy; this came with text/plain',
    ]);
  });

  test('a graph whose second output is no tensor, as sklearn exports it, gives the first', async () => {
    const model = await read<{ output_schema: object; state: string }>('/v1/models/classifier');
    expect(JSON.stringify(model.output_schema)).toContain('zipmap=False');
    const body = JSON.stringify({ input: { X: [[0.25, 0.75]] } });
    const answer = await send('/v1/models/classifier/predictions?wait=30', body);
    expect([answer.status, outputOf(answer)]).toEqual([200, [0.25, 0.75]]);
  });
});

describe('large values', () => {
  let whole: Prediction;
  const wide = {
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 120], data: Array(120).fill(0) }],
  };

  beforeAll(async () => {
    const body = JSON.stringify({ input: wide, tags: ['large'] });
    whole = (await send('/v1/models/affine/predictions?wait=30', body)).record;
    await send(
      '/v1/models/affine/predictions?wait=30',
      JSON.stringify({ input: affine(), tags: ['large'] }),
    );
  });

  const references = () => ({
    input: {
      inputs: {
        url: `${whole.urls.get}/input/inputs`,
        bytes: JSON.stringify(whole.input['inputs']).length,
        sha256: expect.any(String) as string,
        media_type: 'application/json',
      },
    },
    output: {
      url: whole.urls.output,
      bytes: JSON.stringify(whole.output).length,
      sha256: expect.any(String) as string,
      media_type: 'application/json',
    },
    output_url: whole.urls.output,
  });
  interface List {
    readonly data: readonly Prediction[];
  }

  test('a list shows where they are, and small ones as they are', async () => {
    const { data } = await read<List>('/v1/predictions?tag=large');
    expect(data.find(({ id }) => id === whole.id)).toEqual({ ...whole, ...references() });
    const small = data.find(({ id }) => id !== whole.id);
    expect(JSON.stringify(small?.output)).toContain('"data":[3]');
  });

  test('and has them whole when that is asked for', async () => {
    const { data } = await read<List>('/v1/predictions?tag=large&include=input,output');
    expect(data.find(({ id }) => id === whole.id)).toEqual(whole);
    const { input } = references();
    const outputs = await read<List>('/v1/predictions?tag=large&include=output');
    expect(outputs.data.find(({ id }) => id === whole.id)).toEqual({ ...whole, input });
    expect((await fetch(`${service.url}/v1/predictions?include=all`)).status).toBe(400);
  });

  test('so do events', async () => {
    const eventOf = async (query: string) => {
      const text = await (await fetch(`${whole.urls.get}/events${query}`)).text();
      return JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? '') as Prediction;
    };
    expect(await eventOf('')).toEqual({ ...whole, ...references() });
    expect(await eventOf('?include=input,output')).toEqual(whole);
  });

  test('and the last event of one that ends meanwhile', async () => {
    const body = JSON.stringify({ input: wide, start_after: '1s' });
    const { record } = await send('/v1/models/affine/predictions', body);
    const follow = async (query: string) => {
      const text = await (await fetch(`${record.urls.get}/events${query}`)).text();
      const [last = ''] = text.match(/^data: .*$/gm)?.slice(-1) ?? [];
      return JSON.parse(last.slice('data: '.length)) as Prediction;
    };
    const [short, long] = await Promise.all([follow(''), follow('?include=output')]);
    expect(short).toMatchObject({ status: 'succeeded', output: { bytes: expect.any(Number) } });
    expect(long.output).toEqual(whole.output);
  });
});

describe('the record', () => {
  test('the parts of its time add up to the whole; loading is told apart', async () => {
    const cold = (
      await send(
        '/v1/models/mlp/predictions?wait=30',
        JSON.stringify({ input: { x: [Array(784).fill(0)] } }),
      )
    ).record;
    const warm = (
      await send(
        '/v1/models/mlp/predictions?wait=30',
        JSON.stringify({ input: { x: [Array(784).fill(0)] } }),
      )
    ).record;
    for (const { metrics } of [cold, warm]) {
      const { queue_ms, load_ms, wait_ms, inference_ms, total_ms } = metrics ?? fail();
      expect(Math.abs(queue_ms + (load_ms ?? 0) + wait_ms + inference_ms - total_ms)).toBeLessThan(
        5,
      );
    }
    expect(cold.metrics?.load_ms).toBeGreaterThan(10);
    expect(warm.metrics?.load_ms).toBeNull();
  });

  test('its URLs lead to its history, in the order of time, and to a retry', async () => {
    const { record } = await send('/v1/models/affine/predictions?wait=30', '{"input":{"x":[[1]]}}');
    const history = (await (await fetch(record.urls.history)).json()) as {
      data: readonly HistoryEntry[];
    };
    const times = history.data.map(({ at }) => at ?? '');
    expect(times).toEqual(times.toSorted());
    expect(history.data.length).toBeGreaterThan(3);
    const retry = await fetch(record.urls.retry, { method: 'POST' });
    expect(retry.status).toBe(202);
  });
});

const fail = (): never => {
  throw new Error('there are no metrics');
};

describe('questions that are wrong are told what is right', () => {
  test.each<[string, string, string, string | null, string]>([
    ['an unknown parameter of a POST', 'POST', '/v1/predictions?waits=5', '{}', 'this takes wait'],
    [
      'any parameter of a cancel',
      'POST',
      `/v1/predictions/pred_${'0'.repeat(26)}/cancel?now=1`,
      null,
      'takes no parameters',
    ],
    [
      'a status that a list cannot tell apart',
      'GET',
      '/v1/predictions?status=queued',
      null,
      'active has what is queued, processing, canceling',
    ],
    [
      'a status that there is not',
      'GET',
      '/v1/predictions?status=done',
      null,
      'must be one of active, succeeded',
    ],
    [
      'too large a number',
      'POST',
      '/v1/predictions',
      '{"model":"affine","input":{},"priority":9}',
      '/priority: must be at most 5',
    ],
    [
      'a time that is none',
      'GET',
      '/v1/predictions?created_after=soon',
      null,
      'such as 2026-01-31T12:00:00Z',
    ],
    ['no input', 'POST', '/v1/models/affine/predictions', '{}', '/input: is missing'],
    ['no model', 'POST', '/v1/predictions', '{"input":{}}', '/model: is missing'],
    [
      'a number where text belongs',
      'POST',
      '/v1/predictions',
      '{"model":7,"input":{}}',
      '/model: must be a string, received number',
    ],
    [
      'plain http to somebody else',
      'POST',
      '/v1/predictions',
      JSON.stringify({ model: 'affine', input: affine(), webhook: 'http://hooks.example.com' }),
      'BUZZER_OUTBOUND_ALLOW',
    ],
    ['bytes that are no UTF-8', 'POST', '/v2/models/affine/infer', 'invalid', 'is not UTF-8'],
  ])('%s', async (_what, method, path, body, advice) => {
    const bytes = body === 'invalid' ? Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]) : body;
    const answer = await fetch(`${service.url}${path}`, {
      method,
      ...(bytes === null ? {} : { body: bytes, headers: { 'Content-Type': 'application/json' } }),
    });
    const { detail } = (await answer.json()) as Problem;
    expect([answer.status === 400 || answer.status === 422, detail]).toEqual([
      true,
      expect.stringContaining(advice),
    ]);
    expect(detail).not.toMatch(/: [^:]*: Invalid|undefined|::/);
  });
});

test('wait works on a POST as on a GET', async () => {
  const order = JSON.stringify({ model: 'affine', input: affine() });
  expect((await send('/v1/predictions?wait=30', order)).status).toBe(200);
  expect((await send('/v1/predictions?wait=0', order)).status).toBe(202);
});

test('redelivery has a rate', async () => {
  const { record } = await send(
    '/v1/predictions?wait=30',
    JSON.stringify({
      model: 'affine',
      input: affine(),
      webhook: 'https://127.0.0.2.example.com/hook',
    }),
  );
  const statuses = new Set<number>();
  for (let asked = 0; asked < 80; asked++) {
    const answer = await fetch(`${record.urls.webhook}/redeliver`, { method: 'POST' });
    statuses.add(answer.status);
    if (answer.status === 429) expect(Number(answer.headers.get('Retry-After'))).toBeGreaterThan(0);
  }
  expect([...statuses]).toEqual([202, 429]);
});

test('a browser at / is led to the reference, everything else to the index', async () => {
  const browser = await fetch(`${service.url}/`, {
    headers: { Accept: 'text/html' },
    redirect: 'manual',
  });
  expect([browser.status, browser.headers.get('Location')]).toEqual([302, '/docs']);
  expect(await (await fetch(`${service.url}/`)).json()).toMatchObject({ name: 'buzzer' });
});

test('workflows tell themselves apart in the Web UI: model, tenant, tags; and where a delivery goes', async () => {
  const order = {
    model: 'affine',
    input: affine(),
    tags: ['june', 'batch-7'],
    webhook: 'https://hooks.example.com/x',
  };
  const { record } = await send('/v1/predictions?wait=30', JSON.stringify(order));
  const summary = async (id: string) =>
    await service.temporalCli('workflow', 'describe', '--workflow-id', id);
  expect(await summary(record.id)).toContain('affine@1 · default · june · batch-7');
  expect(await summary(`${record.id}.webhook`)).toContain('→ hooks.example.com, attempt 1');
});

test.each([
  ['a few bytes', 100],
  ['six megabytes', 6_000_000],
])('the example client says what was wrong with %s that are no image', async (_what, bytes) => {
  const image = join(await mkdtemp(join(tmpdir(), 'buzzer-client-')), 'page.png');
  await writeFile(image, Buffer.alloc(bytes, 1));
  const run = promisify(execFile)('python3', ['examples/client.py', image, service.url]);
  const { stderr } = (await run.catch((error: unknown) => error)) as { stderr: string };
  expect(stderr.trim()).toBe('422: (body): these bytes are no PNG, JPEG, TIFF or WebP image');
});

/** A file as a batch needs it, with one request. */
async function fileOfRequests(): Promise<string> {
  const messages = [{ role: 'user', content: 'Hello' }];
  const body = { model: 'babble', messages, max_tokens: 1 };
  const line = { custom_id: 'a', method: 'POST', url: '/v1/chat/completions', body };
  const file = await fetch(`${service.url}/v1/files`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/jsonl' },
    body: JSON.stringify(line),
  });
  return ((await file.json()) as { id: string }).id;
}

test('examples of the reference can be sent as they are', async () => {
  const { paths } = await read<{
    paths: Record<
      string,
      { post?: { requestBody?: { content: Record<string, { example?: object }> } } }
    >;
  }>('/openapi.json');
  const sent: string[] = [];
  for (const [path, { post }] of Object.entries(paths)) {
    const example = post?.requestBody?.content['application/json']?.example;
    if (example === undefined || path.includes('webhook') || path.startsWith('/v2')) continue;
    if (path === '/openai/v1/embeddings') continue; // no model of this kind is shipped
    const isBatch = path === '/openai/v1/batches';
    const body = isBatch ? { ...example, input_file_id: await fileOfRequests() } : example;
    const { status } = await send(path.replace('{model}', 'affine'), JSON.stringify(body));
    expect([path, status]).toEqual([path, path.startsWith('/openai') ? 200 : 202]);
    sent.push(path);
  }
  expect(sent).toEqual(
    expect.arrayContaining([
      '/v1/predictions',
      '/v1/models/affine/predictions',
      '/v1/models/ocr/predictions',
      '/v1/models/voice-activity/predictions',
    ]),
  );
  const order = Object.keys(paths);
  expect(order.indexOf('/v1/predictions')).toBeLessThan(
    order.indexOf('/v1/models/ocr/predictions'),
  );
  expect(JSON.parse(await readFile('package.json', 'utf8'))).toMatchObject({ name: 'buzzer' });
});
