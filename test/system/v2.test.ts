/* The Open Inference Protocol, with its real clients and by hand. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Prediction } from '../../src/contract/prediction.ts';
import { burnGraph } from '../../src/onnx/example-graphs.ts';
import { ELEMENT } from '../../src/onnx/writer.ts';
import { identityGraph, pairGraph } from '../support/graphs.ts';
import { pythonWith } from '../support/python.ts';
import { addModel } from '../support/runtimes.ts';
import { burn, Service } from '../support/service.ts';

let service: Service;
let models: string;

beforeAll(async () => {
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  for (const datatype of Object.keys(ELEMENT) as (keyof typeof ELEMENT)[]) {
    await addModel(models, `identity_${datatype.toLowerCase()}`, identityGraph(datatype));
  }
  await addModel(models, 'identity_pair', pairGraph());
  await addModel(models, 'burn', burnGraph());
  await addModel(models, 'broken', Buffer.from('no graph'));
  service = await Service.start({ BUZZER_MODELS: `${models},models` });
});
afterAll(async () => {
  await service.close();
  await rm(models, { recursive: true });
});

const post = async (path: string, body: string | Uint8Array, headers: object = {}) =>
  await fetch(`${service.url}/v2/models/${path}/infer`, {
    method: 'POST',
    body,
    headers: { ...headers },
  });
const x = { name: 'x', datatype: 'FP32', shape: [1, 1], data: [1.5] };

test('the clients of Triton and KServe work unchanged, for every datatype', async () => {
  const python = await pythonWith('oip-clients', 'test/clients/requirements.txt');
  const address = service.url.replace('http://', '');
  const output = await new Promise<string>((resolve) => {
    execFile(python, ['test/clients/oip_clients.py', address], (_error, stdout, stderr) =>
      resolve(stdout + stderr),
    );
  });
  const lines = output.trim().split('\n');

  expect(lines.filter((line) => !line.startsWith('ok '))).toEqual([]);
  expect(lines.length).toBeGreaterThan(200);
}, 300_000);

test('an infer call is a prediction like any other', async () => {
  const response = await post('identity_fp32', JSON.stringify({ inputs: [x] }));
  const answer = (await response.json()) as { parameters: { prediction_id: string } };
  const record = await service.read(answer.parameters.prediction_id);

  expect(response.status).toBe(200);
  expect(response.headers.get('Location')).toBe(record.urls.get);
  expect(answer).toEqual({
    model_name: 'identity_fp32',
    model_version: '1',
    id: record.id,
    parameters: { prediction_id: record.id },
    outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 1], data: [1.5] }],
  });
  expect(record).toMatchObject({ status: 'succeeded', model: 'identity_fp32' });
});

test('ten requests of eight megabytes of tensors at once are all served', async () => {
  const count = 2_000_000;
  const header = JSON.stringify({
    inputs: [
      {
        name: 'x',
        datatype: 'FP32',
        shape: [1, count],
        parameters: { binary_data_size: 4 * count },
      },
    ],
    parameters: { binary_data_output: true },
  });
  const body = Buffer.concat([Buffer.from(header), Buffer.alloc(4 * count)]);
  const headers = { 'Inference-Header-Content-Length': String(header.length) };
  const answers = await Promise.all(
    Array.from({ length: 10 }, async () => {
      const answer = await post('identity_fp32', body, headers);
      return [answer.status, (await answer.arrayBuffer()).byteLength > 4 * count];
    }),
  );
  expect(answers).toEqual(Array.from({ length: 10 }, () => [200, true]));
});

test('what takes longer than the client waits goes on: 503 with where to find it', async () => {
  const body = JSON.stringify({ ...burn(2), parameters: { timeout: 200_000 } });
  const response = await post('burn', body);
  const problem = (await response.json()) as { error: string; prediction_id: string };

  expect(response.status).toBe(503);
  expect(response.headers.get('Retry-After')).toBe('1');
  expect(response.headers.get('Content-Type')).toBe('application/json');
  expect(response.headers.get('Location')).toContain(problem.prediction_id);
  expect(problem.error).toContain(problem.prediction_id);
  expect(await service.ended(problem.prediction_id)).toMatchObject({ status: 'succeeded' });
});

test('Prefer: respond-async answers at once with the record', async () => {
  const body = JSON.stringify(burn(0.5));
  const response = await post('burn', body, { Prefer: 'respond-async' });
  const record = (await response.json()) as Prediction;

  expect(response.status).toBe(202);
  expect(response.headers.get('Preference-Applied')).toBe('respond-async');
  expect(response.headers.get('Location')).toBe(record.urls.get);
  expect(await service.ended(record.id)).toMatchObject({ status: 'succeeded' });
});

test('a canceled one says so instead of waiting on', async () => {
  const waiting = post('burn', JSON.stringify(burn(30)));
  const list = async () => {
    const response = await fetch(`${service.url}/v1/predictions?status=active&model=burn`);
    return ((await response.json()) as { data: Prediction[] }).data[0];
  };
  let record = await list();
  while (record === undefined) record = await list();
  await service.processing(record.id);
  await service.cancel(record.id);
  const response = await waiting;

  expect(response.status).toBe(409);
  expect(((await response.json()) as { error: string }).error).toContain('was canceled');
});

test.each([
  ['no JSON', '{', {}, 400, 'not JSON'],
  ['no inputs', '{}', {}, 422, '/inputs'],
  ['a header longer than the body', '{}', { 'Inference-Header-Content-Length': '9' }, 400, 'body'],
  ['a header that is no number', '{}', { 'Inference-Header-Content-Length': 'x' }, 400, 'body'],
  [
    'bytes that belong to nothing',
    `${JSON.stringify({ inputs: [] })}ab`,
    { 'Inference-Header-Content-Length': '13' },
    400,
    '2 bytes follow the JSON',
  ],
  [
    'fewer bytes than it says',
    JSON.stringify({ inputs: [{ ...x, data: null, parameters: { binary_data_size: 4 } }] }),
    {},
    400,
    'binary_data_size is 4, but 0 bytes are left',
  ],
  [
    'shared memory',
    JSON.stringify({ inputs: [{ ...x, parameters: { shared_memory_region: 'r' } }] }),
    {},
    422,
    'shared_memory_region is not supported',
  ],
])('%s is refused with words', async (_name, body, headers, status, words) => {
  const response = await post('identity_fp32', body, headers);
  const { error } = (await response.json()) as { error: string };

  expect([response.status, error]).toEqual([status, expect.stringContaining(words)]);
});

test.each([
  ['ten megabytes of wrong inputs', `{"inputs": [${'1,'.repeat(4_000_000)}1]}`, 422],
  [
    'a shape without end',
    `{"inputs": [{"name": "x", "datatype": "FP32", "data": [], "shape": [${'"a",'.repeat(2_000_000)}1]}]}`,
    422,
  ],
  [
    'parameters without end',
    `{"inputs": [], "parameters": {${Array.from({ length: 300_000 }, (_, index) => `"${index}": []`).join()}}}`,
    422,
  ],
  [
    'an output asked for twice',
    JSON.stringify({ inputs: [x], outputs: [{ name: 'y' }, { name: 'y' }] }),
    422,
  ],
  ['more JSON than may be', `{"inputs": [${'1,'.repeat(6_000_000)}1]}`, 413],
])('%s is refused at once', async (_name, body, status) => {
  const startedAt = Date.now();
  const response = await post('identity_fp32', body);
  const problem = (await response.json()) as { error: string };

  expect([response.status, problem.error]).toEqual([status, expect.any(String)]);
  expect(Date.now() - startedAt).toBeLessThan(4 * 1500);
});

test('a model that takes no tensors, and one that is broken, say so', async () => {
  const ocr = await post('ocr', JSON.stringify({ inputs: [x] }));
  const broken = await post('broken', JSON.stringify({ inputs: [x] }));
  const index = await fetch(`${service.url}/v2/repository/index`, { method: 'POST' });
  const entries = (await index.json()) as { name: string; state: string }[];

  expect(ocr.status).toBe(404);
  expect(await ocr.text()).toContain('/v1/models/ocr');
  expect(broken.status).toBe(503);
  expect(entries.find(({ name }) => name === 'broken')).toMatchObject({ state: 'UNAVAILABLE' });
  expect(entries.some(({ name }) => name === 'ocr')).toBe(false);
});
