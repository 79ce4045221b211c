/* Text generation in real model processes, with small networks of random weights: what they write is nonsense. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { joined, type Part, textOf } from '../../../src/contract/work.ts';
import type { ProcessModelRuntime } from '../../../src/runtime/process-runtime.ts';
import { type Inference, InvalidInputError } from '../../../src/runtime/runtime.ts';
import { until } from '../../support/conditions.ts';
import { addLanguageModel } from '../../support/language-model.ts';
import { inferOn, openRuntime, outputOf } from '../../support/runtimes.ts';

interface Generated {
  readonly generated_text: string;
  readonly finish_reason: string;
}

let folder: string;
let runtime: ProcessModelRuntime;
const replaced: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await addLanguageModel(folder, 'fast');
  await addLanguageModel(folder, 'slow', { tokenDelayMs: 5 });
  await addLanguageModel(folder, 'long', {
    context: 16_384,
    manifest: { resources: { memory_mb: 500 } },
  });
  await addLanguageModel(folder, 'short', { context: 32, hasChatTemplate: false });
  const observer = {
    batchDone: () => {},
    processReplaced: (_model: unknown, cause: string) => void replaced.push(cause),
  };
  runtime = await openRuntime([folder], { observer });
});
afterAll(async () => {
  await runtime.close();
  await rm(folder, { recursive: true });
});

const generate = async (input: object, options: object, model = 'fast', more: object = {}) => {
  const inference = await inferOn(runtime, model, input, { options: { ...options }, ...more });
  return { ...(outputOf(inference) as Generated), tokens: inference.tokens };
};
const PROMPT = { inputs: 'Once upon a time' };
const GREEDY = { temperature: 0, max_new_tokens: 80 };

test('greedy, it writes what the library writes', async () => {
  const { generated_text: text } = await generate(PROMPT, GREEDY);
  const plain = await promisify(execFile)(process.execPath, [
    'test/support/plain-generation.mjs',
    join(folder, 'fast', '1'),
    PROMPT.inputs,
    '80',
  ]);

  expect(text).toBe(plain.stdout);
});

test('it says why it ended, and what it took', async () => {
  const whole = await generate(PROMPT, { ...GREEDY, max_new_tokens: 20 });
  expect(whole).toMatchObject({
    finish_reason: 'length',
    tokens: { prompt: 17, completion: 20, per_second: expect.any(Number) as number },
  });
  const stop = whole.generated_text.slice(10, 13);
  const stopped = await generate({ ...PROMPT, stop: [stop, 'never'] }, GREEDY);

  expect(stopped.finish_reason).toBe('stop');
  const place = whole.generated_text.indexOf(stop);
  expect(stopped.generated_text).toBe(whole.generated_text.slice(0, place));
  expect(stopped.tokens?.completion).toBeLessThan(20);
});

test('the same seed writes the same text, also while others are written; another seed another', async () => {
  const options = { max_new_tokens: 40, temperature: 1 };
  const [first, again, other] = await Promise.all(
    [42, 42, 43].map(async (seed) => await generate(PROMPT, { ...options, seed })),
  );

  expect(first?.generated_text).toBe(again?.generated_text);
  expect(first?.generated_text).not.toBe(other?.generated_text);
});

test('a penalty of repetition changes what is written', async () => {
  const [plain, varied] = await Promise.all(
    [1, 1.5].map(async (each) => await generate(PROMPT, { ...GREEDY, repetition_penalty: each })),
  );

  expect(plain?.generated_text).not.toBe(varied?.generated_text);
});

describe.each<[string, object]>([
  ['greedy', GREEDY],
  ['with seed 42', { max_new_tokens: 80, seed: 42 }],
  [
    'with seed 43, top_k, top_p and a penalty',
    { max_new_tokens: 80, seed: 43, top_k: 40, top_p: 0.9, repetition_penalty: 1.2 },
  ],
])('cut off, %s,', (_what, options) => {
  let whole: Generated;
  const parts: Part[] = [];

  beforeAll(async () => {
    whole = await generate(PROMPT, options, 'slow', { onPart: (part: Part) => parts.push(part) });
  });

  test('its parts are its text', () => {
    const all = parts.reduce<Part | null>(joined, null);
    expect(textOf(all)).toBe(whole.generated_text);
    expect(all?.['ids']).toHaveLength(80);
    expect(parts.length).toBeGreaterThan(3);
    expect(parts.length).toBeLessThan(30); // gathered, not one for each token
  });

  test.each([1, 10, 25, 50, 79, 80])(
    'after %i tokens, it goes on to the same text',
    async (count) => {
      const all = parts.flatMap((part) => part['ids'] as readonly number[]);
      const ids = all.slice(0, count);
      const cut = await generate(PROMPT, { ...options, max_new_tokens: count });
      const before = { text: cut.generated_text, ids };
      const rest: Part[] = [];
      const { generated_text: text, tokens } = await generate(PROMPT, options, 'fast', {
        before,
        onPart: (part: Part) => rest.push(part),
      });

      expect(text).toBe(whole.generated_text);
      expect(before.text + rest.map(textOf).join('')).toBe(text);
      expect(rest.flatMap((part) => part['ids'])).toHaveLength(80 - count); // none is written twice
      expect(tokens?.completion).toBe(80);
    },
  );
});

test('a long text is gone on with in no more memory than it was written in', async () => {
  const ids = Array.from({ length: 6000 }, (_, index) => 99 + (index % 100));
  const before = { text: '', ids };
  const options = { max_new_tokens: 6010, seed: 1 };
  const { tokens, finish_reason: reason } = await generate(PROMPT, options, 'long', { before });

  expect([tokens?.completion, reason]).toEqual([6010, 'length']);
  expect(replaced).toEqual([]);
});

test('asked to stop while it reads, it stops between two pieces', async () => {
  const stop = new AbortController();
  const running = inferOn(
    runtime,
    'long',
    { inputs: 'x'.repeat(16_000) },
    {
      options: { max_new_tokens: 300 },
      signal: stop.signal,
    },
  ).catch((error: unknown) => error);
  setTimeout(() => stop.abort(new Error('enough')), 100);

  expect(await running).toEqual(new Error('enough'));
  expect(replaced).toEqual([]);
});

test('asked to stop, it stops at the next token and keeps its process', async () => {
  const stop = new AbortController();
  const parts: Part[] = [];
  const running = inferOn(runtime, 'slow', PROMPT, {
    options: { max_new_tokens: 900 },
    signal: stop.signal,
    onPart: (part) => void parts.push(part),
  });
  const ended = running.catch((error: unknown) => error);
  await until('some text', () => (parts.length > 2 ? true : undefined));
  const stoppedAtMs = Date.now();
  stop.abort(new Error('enough'));

  expect(await ended).toEqual(new Error('enough'));
  expect(Date.now() - stoppedAtMs).toBeLessThan(500);
  expect(textOf(parts.reduce<Part | null>(joined, null)).length).toBeGreaterThan(0);
  expect(replaced).toEqual([]);
  expect((await generate(PROMPT, { max_new_tokens: 1 }, 'slow')).tokens?.completion).toBe(1);
});

test('a conversation is continued', async () => {
  const messages = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Hello' },
  ];
  const { tokens, generated_text: text } = await generate({ messages }, GREEDY);
  const prompt = 'system: Be brief.\nuser: Hello\nassistant:';

  expect(text).not.toBe('');
  expect(tokens?.prompt).toBe(prompt.length); // a token for each character, and none before them
});

const refused = async (input: object, model: string): Promise<unknown> =>
  await generate(input, {}, model).catch((error: unknown) => error);

test('a prompt that fills the context is refused before it is run', async () => {
  const error = await refused({ inputs: 'x'.repeat(31) }, 'short');

  expect(error).toBeInstanceOf(InvalidInputError);
  expect(error).toMatchObject({
    reason: 'context_length_exceeded',
    message: "the prompt has 32 tokens, which fill the model's context of 32 tokens",
  });
});

test('a text ends where the context ends', async () => {
  const { finish_reason: reason, tokens } = await generate(
    { inputs: 'x'.repeat(25) },
    GREEDY,
    'short',
  );

  expect([reason, tokens?.completion]).toEqual(['length', 6]);
});

test('messages for a model without a chat template are refused', async () => {
  const error = await refused({ messages: [{ role: 'user', content: 'Hi' }] }, 'short');

  expect(error).toMatchObject({ name: 'InvalidInputError', reason: 'no_chat_template' });
});

test('characters that the tokenizer does not know do no harm', async () => {
  expect((await generate({ inputs: '日本語 😀' }, GREEDY)).generated_text).not.toBe('');
});

test('memory stays flat over 300 texts', async () => {
  const rss = () => runtime.states().find(({ model }) => model === 'fast')?.rss_bytes ?? 0;
  const several = async (count: number) => {
    const texts: Promise<Inference>[] = [];
    for (let index = 0; index < count; index += 1) {
      texts.push(
        inferOn(runtime, 'fast', PROMPT, { options: { max_new_tokens: 20, seed: index } }),
      );
    }
    await Promise.all(texts);
  };
  await several(100);
  const before = rss();
  await several(200);

  expect(rss() / before).toBeLessThan(1.4); // bench/generation.ts asks for 1.1
});
