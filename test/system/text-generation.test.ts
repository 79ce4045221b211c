/* Texts that are told while they are written: seen, cut off, gone on with, canceled and refused. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Prediction } from '../../src/contract/prediction.ts';
import { languageModelFiles } from '../../src/onnx/language-model.ts';
import { until } from '../support/conditions.ts';
import { startHub } from '../support/hub.ts';
import { addLanguageModel } from '../support/language-model.ts';
import { modelProcesses, Service } from '../support/service.ts';
import { followText, textSoFar, type FollowedText } from '../support/text-stream.ts';

interface Generated {
  readonly generated_text: string;
  readonly finish_reason: string;
}

let service: Service;
let models: string;

beforeAll(async () => {
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await addLanguageModel(models, 'short', { context: 32 });
  service = await Service.start({ BUZZER_MODELS: `examples/models,${models}` });
});
afterAll(async () => {
  await service.close();
  await rm(models, { recursive: true });
});

const INPUT = { inputs: 'Once upon a time' };

async function submit(options: object, input: object = INPUT, on = service): Promise<Prediction> {
  const response = await on.post({ model: 'babble', input, options });
  const record = (await response.json()) as Prediction;
  expect(response.status).toBe(202);
  return record;
}
const events = ({ id }: Prediction, on = service) => `${on.url}/v1/predictions/${id}/events`;
const textOf = (record: Prediction) => (record.output as unknown as Generated).generated_text;

/** The text that is written when nothing gets in the way. */
async function uncut(options: object, on = service): Promise<string> {
  return textOf(await on.ended((await submit(options, INPUT, on)).id));
}

test('a text is seen while it is written, a piece after the other', async () => {
  const prediction = await submit({ max_new_tokens: 150 });
  const followed = await followText(events(prediction));
  const record = await service.read(prediction.id);
  const [first] = followed.events;

  expect(followed.text).toBe(textOf(record));
  expect(followed.events.length).toBeGreaterThan(3);
  expect(followed.bytes).toBeLessThan(followed.text.length + 20_000); // no piece is sent twice
  expect(first).toMatchObject({
    id: `1:${first?.text.length}`,
    attempt: 1,
    offset: 0,
    reset: false,
  });
  expect(followed.records.at(-1)).toMatchObject({ status: 'succeeded', partial_output: null });
  expect(record).toMatchObject({
    options: { max_new_tokens: 150, seed: expect.any(Number) as number },
    output: { finish_reason: 'length' },
    metrics: { tokens: { prompt: 17, completion: 150 } },
  });
});

test('a stream goes on where its client was, also when it has ended', async () => {
  const prediction = await submit({ max_new_tokens: 120 });
  const stop = new AbortController();
  const seen = await followText(events(prediction), {
    signal: stop.signal,
    onText: ({ text }) => {
      if (text.length > 60) stop.abort();
    },
  });
  const rest = await followText(events(prediction), { lastEventId: seen.lastEventId });
  const text = textOf(await service.ended(prediction.id));
  expect(seen.text + rest.text).toBe(text);
  const end = await followText(events(prediction), { lastEventId: seen.lastEventId });
  expect(end.text).toBe(rest.text);
  expect((await followText(events(prediction))).text).toBe(text);
});

test('a record shows the text so far', async () => {
  const { id } = await submit({ max_new_tokens: 200 });
  const record = await service.readUntil(id, 'to have text', (seen) => {
    return (textSoFar(seen)?.text.length ?? 0) > 20;
  });
  const partial = textSoFar(record);
  const text = textOf(await service.ended(id));

  expect(partial).toMatchObject({ attempt: 1, offset: 0 });
  expect(text.startsWith(partial?.text ?? '-')).toBe(true);
});

test('killed with its model process, the text goes on where it ended', async () => {
  const options = { max_new_tokens: 80, seed: 42 };
  const expected = await uncut(options);
  const prediction = await submit(options);
  let killed = false;
  const followed = await followText(events(prediction), {
    onText: ({ text }) => {
      if (killed || text.length < expected.length / 2) return;
      killed = true;
      for (const pid of modelProcesses(service.inference.pid)) process.kill(pid, 'SIGKILL');
    },
  });
  const record = await service.read(prediction.id);

  expect(record).toMatchObject({ status: 'succeeded', attempt: 2 });
  expect([textOf(record), followed.text]).toEqual([expected, expected]);
  expect(followed.events.some(({ reset }) => reset)).toBe(false);
});

test('killed with its worker, the text goes on where it ended', async () => {
  const options = { max_new_tokens: 80, seed: 43 };
  const expected = await uncut(options);
  const prediction = await submit(options);
  let restart: Promise<void> | undefined;
  const followed = await followText(events(prediction), {
    onText: ({ text }) => {
      if (restart !== undefined || text.length < expected.length / 2) return;
      restart = service.inference
        .signal('SIGKILL')
        .then(async () => await service.inference.start());
    },
  });
  await restart;
  const record = await service.read(prediction.id);

  expect(record).toMatchObject({ status: 'succeeded', attempt: 2 });
  expect([textOf(record), followed.text]).toEqual([expected, expected]);
  expect(followed.events.some(({ reset }) => reset)).toBe(false);
});

test('a canceled text ends within a second of the answer, is kept, and its process lives on', async () => {
  const prediction = await submit({ max_new_tokens: 900 });
  await service.readUntil(
    prediction.id,
    'to have text',
    (record) => record.partial_output !== null,
  );
  const before = modelProcesses(service.inference.pid);
  expect((await service.cancel(prediction.id)).status).toBe(202);
  const canceledAtMs = Date.now();
  const record = await service.ended(prediction.id);

  expect(Date.parse(record.completed_at ?? '') - canceledAtMs).toBeLessThan(4 * 1000);
  expect(record).toMatchObject({
    status: 'canceled',
    output: null,
    partial_output: { attempt: 1, offset: 0 },
  });
  const { text = '' } = textSoFar(record) ?? {};
  expect(text.length).toBeGreaterThan(0);
  expect((await followText(events(prediction))).text).toBe(text);
  expect(modelProcesses(service.inference.pid)).toEqual(before);
});

test('a run that does not stop when it is asked to is killed, and its text is kept', async () => {
  const prediction = await submit({ max_new_tokens: 900 });
  await service.readUntil(
    prediction.id,
    'to have text',
    (record) => record.partial_output !== null,
  );
  const [pid = 0] = modelProcesses(service.inference.pid);
  process.kill(pid, 'SIGSTOP');
  await service.cancel(prediction.id);
  const record = await service.ended(prediction.id);

  expect(record).toMatchObject({ status: 'canceled', partial_output: { attempt: 1 } });
  expect(modelProcesses(service.inference.pid)).not.toContain(pid);
});

test('a run that takes too long fails, and its text is kept', async () => {
  const options = { max_new_tokens: 900 };
  const response = await service.post({
    model: 'babble',
    input: INPUT,
    options,
    run_timeout: '1s',
  });
  const record = await service.ended(((await response.json()) as Prediction).id);

  expect(record).toMatchObject({ status: 'failed', error: { code: 'run_timeout', reason: null } });
  expect(textSoFar(record)?.text.length).toBeGreaterThan(20);
});

test('a prompt that fills the context is invalid_input, with its reason', async () => {
  const response = await service.post({ model: 'short', input: { inputs: 'x'.repeat(40) } });
  const record = await service.ended(((await response.json()) as Prediction).id);

  expect(record).toMatchObject({
    status: 'failed',
    attempt: 1,
    partial_output: null,
    error: { code: 'invalid_input', reason: 'context_length_exceeded', retryable: false },
  });
});

test.each<[string, unknown, object]>([
  ['no prompt', {}, {}],
  ['an empty one', { inputs: '' }, {}],
  ['a number', { inputs: 7 }, {}],
  ['NUL', { inputs: 'a\0b' }, {}],
  ['half a character', { inputs: 'a\ud800b' }, {}],
  ['5 MB', { inputs: 'x'.repeat(5_000_000) }, {}],
  ['a prompt and messages', { inputs: 'a', messages: [{ role: 'user', content: 'a' }] }, {}],
  ['no messages', { messages: [] }, {}],
  ['a role that does not exist', { messages: [{ role: 'king', content: 'a' }] }, {}],
  ['a message without content', { messages: [{ role: 'user' }] }, {}],
  ['too many stop strings', { inputs: 'a', stop: Array.from({ length: 17 }, String) }, {}],
  ['an empty stop string', { inputs: 'a', stop: [''] }, {}],
  ['no tokens', INPUT, { max_new_tokens: 0 }],
  ['fewer than none', INPUT, { max_new_tokens: -1 }],
  ['a billion', INPUT, { max_new_tokens: 1e9 }],
  ['a seed that is no integer', INPUT, { seed: 1.5 }],
  ['a seed beyond what is exact', INPUT, { seed: 2 ** 53 }],
  ['a negative temperature', INPUT, { temperature: -1 }],
  ['top_p of 0', INPUT, { top_p: 0 }],
  ['a knob that does not exist', INPUT, { num_beams: 4 }],
])('refused: %s', async (_what, input, options) => {
  const response = await service.post({ model: 'babble', input, options });

  expect([response.status, await response.json()]).toMatchObject([422, { code: 'invalid_input' }]);
});

test('with nothing in the engine, a text survives the API and its worker all the same', async () => {
  const other = await Service.start({
    BUZZER_MODELS: 'examples/models',
    BUZZER_ENGINE_INLINE_LIMIT: '0',
  });
  try {
    const options = { max_new_tokens: 300, seed: 42 };
    const expected = await readOutput(other, (await submit(options, INPUT, other)).id);
    const prediction = await submit(options, INPUT, other);
    const stop = new AbortController();
    const seen = await followText(events(prediction, other), {
      signal: stop.signal,
      onText: ({ text }: FollowedText) => {
        if (text.length > 100) stop.abort();
      },
    });
    await Promise.all([other.api.signal('SIGKILL'), other.inference.signal('SIGKILL')]);
    await Promise.all([other.api.start(), other.inference.start()]);
    const { lastEventId } = seen;
    const rest = await followText(events(prediction, other), { lastEventId });

    expect(seen.text + rest.text).toBe(expected);
    expect(rest.events.some(({ reset }) => reset)).toBe(false);
    expect(await other.read(prediction.id)).toMatchObject({ status: 'succeeded', attempt: 2 });
  } finally {
    await other.close();
  }
});

test('a long text is read by many who read it, however little may wait to be read', async () => {
  await addLanguageModel(models, 'long', { context: 16_384 });
  const other = await Service.start({
    BUZZER_MODELS: models,
    BUZZER_ENGINE_INLINE_LIMIT: '0',
    BUZZER_MAX_BUFFERED: '600KiB',
  });
  try {
    const options = { max_new_tokens: 5000, seed: 1 };
    const response = await other.post({ model: 'long', input: INPUT, options });
    const prediction = (await response.json()) as Prediction;
    const followed = await Promise.all(
      Array.from({ length: 8 }, async () => await followText(events(prediction, other))),
    );
    const text = await readOutput(other, prediction.id);

    expect(followed.map((each) => each.text === text)).toEqual(followed.map(() => true));
  } finally {
    await other.close();
  }
});

/** An output that lies in the store. */
async function readOutput(on: Service, id: string): Promise<string> {
  await on.ended(id);
  const response = await fetch(`${on.url}/v1/predictions/${id}/output`);
  return ((await response.json()) as Generated).generated_text;
}

test('a model that was pulled from a hub is served at once, with its chat template', async () => {
  const files = languageModelFiles({ context: 1024, work: 0 });
  const { chat_template: template, ...rest } = files['tokenizer_config.json'] as {
    chat_template: string;
  };
  const asBytes = Object.entries({ ...files, 'tokenizer_config.json': rest }).map(
    ([path, content]): [string, Buffer] => [
      path,
      Buffer.from(content instanceof Uint8Array ? content : JSON.stringify(content)),
    ],
  );
  const hub = await startHub(
    { ...Object.fromEntries(asBytes), 'chat_template.jinja': Buffer.from(template) },
    { task: 'text-generation' },
  );
  try {
    await promisify(execFile)(process.execPath, ['dist/cli/pull.js', 'org/tiny'], {
      env: { PATH: process.env['PATH'], HF_ENDPOINT: hub.url, BUZZER_MODELS: models },
    });
  } finally {
    await hub.close();
  }
  await until('the model', async () => {
    return (await service.model('tiny')).state === undefined ? undefined : true;
  });
  const input = { messages: [{ role: 'user', content: 'Hello' }] };
  const response = await service.post({ model: 'tiny', input, options: { max_new_tokens: 80 } });
  const prediction = (await response.json()) as Prediction;
  const followed = await followText(events(prediction));

  expect(followed.text).not.toBe('');
  expect(textOf(await service.read(prediction.id))).toBe(followed.text);
});

test('what was written is removed with its prediction', async () => {
  const before = service.payloads();
  const { id } = await submit({ max_new_tokens: 700 });
  await until('work in the store', () => (service.payloads().includes(id) ? true : undefined));
  await service.cancel(id);
  await service.ended(id);
  await fetch(`${service.url}/v1/predictions/${id}`, { method: 'DELETE' });

  expect(service.payloads()).toEqual(before);
});
