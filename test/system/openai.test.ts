/* OpenAI's dialect, with its real clients and by hand. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Prediction } from '../../src/contract/prediction.ts';
import { textSoFar } from '../support/text-stream.ts';
import { until } from '../support/conditions.ts';
import { TestKeys } from '../support/keys.ts';
import { addLanguageModel } from '../support/language-model.ts';
import { nodePackage } from '../support/node-package.ts';
import { pythonWith } from '../support/python.ts';
import { Service } from '../support/service.ts';
import { addSlowDigits } from '../support/slow-digits.ts';
import { addTransformersModels } from '../support/transformers.ts';

let service: Service;
let models: string;

beforeAll(async () => {
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await addTransformersModels(models);
  await addLanguageModel(models, 'short', { context: 32 });
  await addSlowDigits(models, 200);
  service = await Service.start({ BUZZER_MODELS: `examples/models,models,${models}` });
});
afterAll(async () => {
  await service.close();
  await rm(models, { recursive: true });
});

/** The lines of a client's checks that are not ok, and how many are. */
async function checked(command: string, ...args: readonly string[]): Promise<[string[], number]> {
  const output = await new Promise<string>((resolve) => {
    execFile(command, [...args], (_error, stdout, stderr) => resolve(stdout + stderr));
  });
  const lines = output.trim().split('\n');
  return [lines.filter((line) => !line.startsWith('ok ')), lines.length];
}

test('the Python client works unchanged', async () => {
  const python = await pythonWith('openai-python', 'test/clients/openai-requirements.txt');
  const [wrong, count] = await checked(python, 'test/clients/openai_client.py', service.url);

  expect(wrong).toEqual([]);
  expect(count).toBe(35);
}, 300_000);

test('the npm client works unchanged', async () => {
  const folder = await nodePackage('openai-npm', 'openai@7.57.0');
  const client = 'test/clients/openai-client.mjs';
  const [wrong, count] = await checked(process.execPath, client, folder, service.url);

  expect(wrong).toEqual([]);
  expect(count).toBe(13);
}, 300_000);

const post = async (path: string, body: unknown, headers: Record<string, string> = {}) =>
  await fetch(`${service.url}/openai/v1/${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
const messages = [{ role: 'user', content: 'Hello' }];
interface Answered {
  readonly id: string;
  readonly error: { readonly code: string; readonly param: string | null };
}
const predictionOf = (id: string) => id.replace(/^.*[_-]/, 'pred_');

test.each<[string, string, unknown, string | null]>([
  ['chat without messages', 'chat/completions', { model: 'babble' }, 'messages'],
  ['empty messages', 'chat/completions', { model: 'babble', messages: [] }, 'messages'],
  [
    'NUL in a message',
    'chat/completions',
    { model: 'babble', messages: [{ role: 'user', content: 'a\0b' }] },
    'messages.0.content',
  ],
  [
    'a knob that does not exist',
    'chat/completions',
    { model: 'babble', messages, best: 1 },
    'best',
  ],
  [
    'a seed that is no integer',
    'chat/completions',
    { model: 'babble', messages, seed: 0.5 },
    'seed',
  ],
  ['two prompts', 'completions', { model: 'babble', prompt: ['a', 'b'] }, 'prompt'],
  ['an empty prompt', 'completions', { model: 'babble', prompt: '' }, 'prompt'],
  ['a number to embed', 'embeddings', { model: 'feature-extraction', input: 5 }, 'input.0'],
  ['nothing to embed', 'embeddings', { model: 'feature-extraction', input: [] }, 'input'],
  [
    'an empty text to embed',
    'embeddings',
    { model: 'feature-extraction', input: ['a', ''] },
    'input.1',
  ],
  [
    'dimensions',
    'embeddings',
    { model: 'feature-extraction', input: 'a', dimensions: 2 },
    'dimensions',
  ],
  ['an image of nothing', 'images/generations', { model: 'digits', prompt: '' }, 'prompt'],
  ['an image of spaces', 'images/generations', { model: 'digits', prompt: ' ' }, 'prompt'],
  [
    'a quality of images',
    'images/generations',
    { model: 'digits', prompt: 'a', quality: 'hd' },
    'quality',
  ],
  [
    'many previews',
    'images/generations',
    { model: 'digits', prompt: 'a', stream: true, partial_images: 4 },
    'partial_images',
  ],
  [
    'a size without a number',
    'images/generations',
    { model: 'digits', prompt: 'a', size: '0x' },
    'size',
  ],
  [
    'reasoning',
    'responses',
    { model: 'babble', input: 'a', reasoning: { effort: 'low' } },
    'reasoning',
  ],
])('refused: %s', async (_what, path, body, param) => {
  const response = await post(path, body);

  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    error: { type: 'invalid_request_error', code: 'invalid_value', param },
  });
});

test('millions of wrong elements are refused without looking at each', async () => {
  for (const element of ['[]', '0', '{}', 'null']) {
    const million = `[${`${element},`.repeat(Math.floor(9_000_000 / (element.length + 1)))}${element}]`;
    for (const [path, member] of [
      ['embeddings', 'input'],
      ['chat/completions', 'messages'],
      ['responses', 'input'],
    ] as const) {
      const startedAtMs = Date.now();
      const response = await post(path, `{"model":"babble","${member}":${million}}`);
      const ms = Date.now() - startedAtMs;
      expect([path, element, response.status]).toEqual([path, element, 400]);
      expect([path, element, ms < 4000]).toEqual([path, element, true]);
    }
  }
});

test('what is not there, or not allowed, is told in its words', async () => {
  const nothing = await fetch(`${service.url}/openai/v1/nothing`);
  expect([nothing.status, await nothing.json()]).toMatchObject([
    404,
    { error: { code: 'not_found' } },
  ]);
  const get = await fetch(`${service.url}/openai/v1/chat/completions`);
  expect([get.status, await get.json()]).toMatchObject([
    405,
    { error: { code: 'method_not_allowed' } },
  ]);
});

test.each<[string, object, string, string]>([
  [
    'an unknown member that every object has',
    { constructor: 1 },
    'constructor',
    'is not known here',
  ],
  ['too many stop strings', { stop: ['1', '2', '3', '4', '5'] }, 'stop', 'at most 4 elements'],
  [
    'content that is a number',
    { messages: [{ role: 'user', content: 5 }] },
    'messages.0.content',
    'must be a string, or must be an array',
  ],
])('%s is said plainly', async (_what, more, param, message) => {
  const response = await post('chat/completions', { model: 'babble', messages, ...more });

  expect(await response.json()).toMatchObject({
    error: { param, message: expect.stringContaining(message) as string },
  });
});

test('a prediction that is no response is none', async () => {
  const { id } = await service.submit('babble', { inputs: 'Hello' });
  const path = `${service.url}/openai/v1/responses/${id.replace('pred_', 'resp_')}`;
  for (const response of [await fetch(path), await fetch(`${path}/cancel`, { method: 'POST' })]) {
    expect([response.status, await response.json()]).toMatchObject([
      404,
      { error: { code: 'not_found', param: 'response_id' } },
    ]);
  }
  await service.ended(id);
});

test('a text whose beginning is not shown is not shown as if it were whole', async () => {
  const other = await Service.start({
    BUZZER_MODELS: 'examples/models',
    BUZZER_RESPONSE_INLINE_LIMIT: '2KiB',
  });
  try {
    const ask = async (path: string, init: RequestInit = {}) =>
      await fetch(`${other.url}/openai/v1/responses${path}`, init);
    const made = await ask('', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ model: 'babble', input: 'Hello', background: true }),
    });
    const { id } = (await made.json()) as Answered;
    await other.readUntil(predictionOf(id), 'to have a head', (record) => {
      return (textSoFar(record)?.offset ?? 0) > 0;
    });
    expect(await (await ask(`/${id}`)).json()).toMatchObject({ status: 'in_progress', output: [] });
    const stream = ask(`/${id}?stream=true`);
    await ask(`/${id}/cancel`, { method: 'POST' });
    const numbers = [...(await (await stream).text()).matchAll(/"sequence_number":(\d+)/g)].map(
      ([, number]) => Number(number),
    );
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    const rest = await ask(`/${id}?stream=true&starting_after=${numbers.at(-2)}`);
    expect(await rest.text()).toContain('response.incomplete');
  } finally {
    await other.close();
  }
});

test('a failure after acceptance is not to be tried again by the client', async () => {
  const content = 'x'.repeat(100);
  const response = await post('chat/completions', {
    model: 'short',
    messages: [{ role: 'user', content }],
  });

  expect([response.status, response.headers.get('X-Should-Retry')]).toEqual([400, 'false']);
  const id = response.headers.get('Location')?.split('/').at(-1) ?? '';
  expect((await service.read(id)).status).toBe('failed');
});

test('hanging up cancels a stream only', async () => {
  const before = Date.now();
  const stop = new AbortController();
  const body = { model: 'babble', messages, max_tokens: 100, metadata: { by: 'hand' } };
  const answer = fetch(`${service.url}/openai/v1/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    signal: stop.signal,
  }).catch(() => null);
  const id = await until('the prediction', async () => {
    const list = await fetch(`${service.url}/v1/predictions?model=babble&status=active`);
    const { data } = (await list.json()) as { data: Prediction[] };
    return data.find(({ metadata, created_at: at }) => {
      return metadata['by'] === 'hand' && Date.parse(at) >= before - 1000;
    })?.id;
  });
  stop.abort();
  await answer;

  expect((await service.ended(id)).status).toBe('succeeded');
});

test('a response in the background outlives the API and its worker', async () => {
  const options = { model: 'babble', input: 'Hello', max_output_tokens: 150, seed: 9 };
  const whole = (await (await post('responses', options)).json()) as Answered;
  const response = await post('responses', { ...options, background: true });
  const { id } = (await response.json()) as Answered;
  await service.readUntil(predictionOf(id), 'to have text', (record) => {
    return (textSoFar(record)?.text.length ?? 0) > 50;
  });
  await Promise.all([service.api.signal('SIGKILL'), service.inference.signal('SIGKILL')]);
  await Promise.all([service.api.start(), service.inference.start()]);
  const record = await service.ended(predictionOf(id));
  const again = await fetch(`${service.url}/openai/v1/responses/${id}`);
  const read = (await again.json()) as { output: { content: { text: string }[] }[] };

  expect(record).toMatchObject({ status: 'succeeded', attempt: 2 });
  const expected = (await service.read(predictionOf(whole.id))).output as {
    generated_text: string;
  };
  expect(read.output[0]?.content[0]?.text).toBe(expected.generated_text);
});

test('keys are asked for in its words, and show no more than they may', async () => {
  const keys = await TestKeys.create();
  const predict = await keys.add('acme', ['predict']);
  const whole = await keys.add('acme', ['predict', 'read']);
  const other = await Service.start({
    BUZZER_KEYS_FILE: keys.path,
    BUZZER_MODELS: 'examples/models',
  });
  try {
    const ask = async (path: string, body: object, headers: Record<string, string>) =>
      await fetch(`${other.url}/openai/v1/${path}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...headers },
        body: JSON.stringify(body),
      });
    const chat = { model: 'babble', messages, max_tokens: 10 };
    const none = await ask('chat/completions', chat, {});
    expect([none.status, await none.json()]).toMatchObject([
      401,
      { error: { type: 'invalid_request_error', code: 'invalid_api_key', param: null } },
    ]);
    expect((await ask('chat/completions', chat, predict.headers)).status).toBe(403);
    const background = { model: 'babble', input: 'Hi', background: true, max_output_tokens: 900 };
    const made = await ask('responses', background, predict.headers);
    const { id } = (await made.json()) as Answered;
    await until('some text', async () => {
      const answer = await fetch(`${other.url}/openai/v1/responses/${id}`, {
        headers: whole.headers,
      });
      return ((await answer.json()) as { output: unknown[] }).output.length > 0 ? true : undefined;
    });
    const canceled = await ask(`responses/${id}/cancel`, {}, predict.headers);
    expect(await canceled.json()).toMatchObject({ status: 'cancelled', output: [] });
    const read = await fetch(`${other.url}/openai/v1/responses/${id}`, { headers: whole.headers });
    expect(await read.json()).toMatchObject({ status: 'cancelled', output: [{ type: 'message' }] });
  } finally {
    await other.close();
    await keys.close();
  }
});
