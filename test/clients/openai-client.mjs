/* OpenAI's npm client against Buzzer, unchanged. Arguments: the folder of its package, and the URL of the service. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, url] = process.argv.slice(2);
const entry = createRequire(join(folder, 'package.json')).resolve('openai');
const imported = await import(pathToFileURL(entry).href);
const OpenAI = imported.OpenAI ?? imported.default;
const client = new OpenAI({ baseURL: `${url}/openai/v1`, apiKey: 'none' });
const messages = [{ role: 'user', content: 'Hello' }];
const equal = (a, b) => {
  if (JSON.stringify(a) !== JSON.stringify(b)) {
    throw new Error(`${JSON.stringify(a)} is not ${JSON.stringify(b)}`);
  }
};
const collect = async (stream) => {
  const all = [];
  for await (const each of stream) all.push(each);
  return all;
};
const until = async (what, find) => {
  const end = Date.now() + 30_000;
  while (Date.now() < end) {
    const found = await find();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited in vain for ${what}`);
};
const record = async (id) => {
  const answer = await fetch(`${url}/v1/predictions/pred_${id.split(/[_-]/).at(-1)}`);
  return await answer.json();
};
const refusal = async (call) =>
  await call().then(
    () => ({}),
    ({ status, code, param }) => ({ status, code, param }),
  );

const checks = {
  'models are listed': async () => {
    const ids = (await collect(client.models.list())).map(({ id }) => id);
    equal([ids.includes('babble'), ids.includes('ocr')], [true, false]);
  },
  'a conversation is continued, and streamed to the same end': async () => {
    const options = { model: 'babble', messages, max_tokens: 60, seed: 7 };
    const whole = await client.chat.completions.create(options);
    const chunks = await collect(
      await client.chat.completions.create({ ...options, stream: true }),
    );
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
    equal(text, whole.choices[0].message.content);
    equal([whole.usage.completion_tokens, chunks.length > 4], [60, true]);
    equal((await record(whole.id)).status, 'succeeded');
  },
  'the streaming helper': async () => {
    const stream = client.chat.completions.stream({ model: 'babble', messages, max_tokens: 20 });
    const final = await stream.finalChatCompletion();
    equal(
      [final.choices[0].finish_reason, final.choices[0].message.content !== ''],
      ['length', true],
    );
  },
  'a text is completed': async () => {
    const { choices, usage } = await client.completions.create({ model: 'babble', prompt: 'Once' });
    equal([choices[0].text !== '', usage.completion_tokens], [true, 16]);
  },
  'embeddings, which it asks for as base64': async () => {
    const model = 'feature-extraction';
    const encoded = await client.embeddings.create({ model, input: ['hello', 'world'] });
    const plain = await client.embeddings.create({
      model,
      input: 'world',
      encoding_format: 'float',
    });
    equal(encoded.data.length, 2);
    equal(
      Array.from(encoded.data[1].embedding, (each) => each.toFixed(5)),
      plain.data[0].embedding.map((each) => each.toFixed(5)),
    );
  },
  'a response in the background, polled': async () => {
    const { id, status } = await client.responses.create({
      model: 'babble',
      input: 'Hello',
      background: true,
      max_output_tokens: 40,
    });
    equal(['queued', 'in_progress'].includes(status), true);
    const done = await until('its end', async () => {
      const found = await client.responses.retrieve(id);
      return found.status === 'incomplete' ? found : null;
    });
    equal([done.output_text !== '', done.usage.output_tokens], [true, 40]);
  },
  'a response in the background, streamed in two parts': async () => {
    const options = { model: 'babble', input: 'Hello', max_output_tokens: 120, seed: 5 };
    const whole = await client.responses.create(options);
    let text = '';
    let last = -1;
    let id = '';
    for await (const event of await client.responses.create({
      ...options,
      background: true,
      stream: true,
    })) {
      last = event.sequence_number;
      if (event.type === 'response.created') id = event.response.id;
      if (event.type === 'response.output_text.delta') text += event.delta;
      if (text.length > 60) break;
    }
    const rest = await client.responses.retrieve(id, { stream: true, starting_after: last });
    for await (const event of rest) {
      if (event.type === 'response.output_text.delta') text += event.delta;
    }
    equal(text, whole.output_text);
  },
  'a response is canceled': async () => {
    const { id } = await client.responses.create({
      model: 'babble',
      input: 'Hi',
      background: true,
    });
    equal((await client.responses.cancel(id)).status, 'cancelled');
  },
  'hanging up on a stream cancels': async () => {
    const stream = await client.chat.completions.create({
      model: 'babble',
      messages,
      stream: true,
    });
    let id = '';
    for await (const chunk of stream) {
      id = chunk.id;
      break;
    }
    const ended = await until('its end', async () => {
      const found = await record(id);
      return found.completed_at === null ? null : found;
    });
    equal(ended.status, 'canceled');
  },
  'a batch of a file, its results, and the files': async () => {
    const url = '/v1/chat/completions';
    const lines = [0, 1].map((number) => {
      const body = { model: 'babble', messages, max_tokens: 3 + number };
      return JSON.stringify({ custom_id: `r${number}`, method: 'POST', url, body });
    });
    const file = new File([lines.join('\n')], 'requests.jsonl');
    const given = await client.files.create({ file, purpose: 'batch' });
    const batch = await client.batches.create({
      input_file_id: given.id,
      endpoint: url,
      completion_window: '24h',
    });
    const done = await until('its end', async () => {
      const found = await client.batches.retrieve(batch.id);
      return found.status === 'completed' ? found : null;
    });
    const text = await (await client.files.content(done.output_file_id)).text();
    const results = text.trimEnd().split('\n').map(JSON.parse);
    equal(
      results.map(({ response }) => response.body.usage.completion_tokens),
      [3, 4],
    );
    const names = [];
    for await (const { filename } of client.files.list({ purpose: 'batch_output' })) {
      names.push(filename);
    }
    equal(names.includes(`${batch.id}_output.jsonl`), true);
    equal((await client.files.delete(given.id)).deleted, true);
  },
  'images are made': async () => {
    const options = { model: 'digits', prompt: 'a handwritten seven', n: 2 };
    const { data } = await client.images.generate(options);
    const types = await Promise.all(
      data.map(async ({ url: at }) => (await fetch(at)).headers.get('content-type')),
    );
    equal(types, ['image/png', 'image/png']);
  },
  'an image is streamed with previews': async () => {
    const options = { model: 'slow-digits', prompt: 'a handwritten nine', partial_images: 2 };
    const events = await collect(await client.images.generate({ ...options, stream: true }));
    equal(
      events.map(({ type }) => type.split('.')[1]),
      ['partial_image', 'partial_image', 'completed'],
    );
    equal(new Set(events.map(({ b64_json: image }) => image)).size, 3);
  },
  'what is refused says what is wrong': async () => {
    const create = (more) => () =>
      client.chat.completions.create({ model: 'babble', messages, ...more });
    equal(await refusal(create({ model: 'nobody' })), {
      status: 404,
      code: 'model_not_found',
      param: null,
    });
    equal(await refusal(create({ n: 2 })), { status: 400, code: 'invalid_value', param: 'n' });
    const content = 'x'.repeat(100);
    equal(await refusal(create({ model: 'short', messages: [{ role: 'user', content }] })), {
      status: 400,
      code: 'context_length_exceeded',
      param: 'messages',
    });
  },
};

for (const [name, run] of Object.entries(checks)) {
  try {
    await run();
    console.log('ok', name);
  } catch (error) {
    console.log('not ok', name, String(error.stack).replaceAll('\n', ' | '));
  }
}
