/*
 * With BUZZER_ENGINE_INLINE_LIMIT=0 nothing that a client has written lies in the engine: its database is looked
 * through for words that were put into every field.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Batch } from '../../src/contract/batch.ts';
import type { FileRecord } from '../../src/contract/file.ts';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { makePdf, textPage } from '../support/pdf.ts';
import { startReceiver, type Receiver } from '../support/receiver.ts';
import { affine, Service } from '../support/service.ts';
import type { TemporalServer } from '../support/temporal.ts';

const CANARY = 'canary4711';

let service: Service<TemporalServer>;
let receiver: Receiver;

beforeAll(async () => {
  receiver = await startReceiver((_path, response) => {
    response.statusCode = 418;
    response.end(`${CANARY} was here`);
  });
  service = await Service.startAlone({
    BUZZER_ENGINE_INLINE_LIMIT: '0',
    BUZZER_OUTBOUND_ALLOW: 'http://127.0.0.1',
    BUZZER_WEBHOOK_SCHEDULE: '0s',
  });
});
afterAll(async () => {
  await service.close();
  await receiver.close();
});

const json = async (path: string, body: unknown, headers: Record<string, string> = {}) =>
  await fetch(`${service.url}${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

test.each([
  ['metadata', { metadata: { name: CANARY } }, '/metadata'],
  ['tags', { tags: [CANARY] }, '/tags'],
  ['a webhook with a query', { webhook: 'http://127.0.0.1/?token=1' }, '/webhook'],
])('%s is refused, of predictions and batches', async (_what, terms, pointer) => {
  const prediction = await json('/v1/predictions', { model: 'affine', input: affine(), ...terms });
  const items = [{ custom_id: 'a', input: affine() }];
  const batch = await json('/v1/batches', { model: 'affine', items, ...terms });
  for (const answer of [prediction, batch]) {
    const { errors } = (await answer.json()) as { errors: { pointer: string }[] };
    expect([answer.status, errors[0]?.pointer]).toEqual([422, pointer]);
  }
  const image = 'http://127.0.0.1/x.png?token=1';
  expect((await json('/v1/predictions', { model: 'ocr', input: { image } })).status).toBe(422);
});

test('nothing of what clients write lies in the database of the engine', async () => {
  const webhook = `${receiver.url}/hook`;
  const messages = [{ role: 'user', content: `Hello ${CANARY}` }];
  const text = await json(
    '/v1/predictions',
    {
      model: 'babble',
      input: { messages, stop: [CANARY] },
      options: { max_new_tokens: 40 },
      webhook,
    },
    { 'Idempotency-Key': CANARY },
  );
  const chat = await json('/openai/v1/chat/completions', {
    model: 'babble',
    messages,
    max_tokens: 5,
    user: CANARY,
  });
  expect([text.status, chat.status]).toEqual([202, 200]);
  const { id } = (await text.json()) as Prediction;
  await until('a part of it', async () => {
    const { partial_output, completed_at } = await service.read(id);
    return partial_output !== null || completed_at !== null ? true : undefined;
  });
  await service.ended(id);

  const file = await fetch(`${service.url}/v1/files?filename=${CANARY}.txt`, {
    method: 'POST',
    headers: { 'Content-Type': `text/${CANARY}` },
    body: `${CANARY} in a file`,
  });
  const { id: fileId } = (await file.json()) as FileRecord;
  const broken = Buffer.concat([
    await readFile('examples/page.png').then((page) => page.subarray(0, 2000)),
    Buffer.from(CANARY),
  ]);
  const image = `data:image/png;base64,${broken.toString('base64')}`;
  const failing = await service.ended((await service.submit('ocr', { image })).id);
  expect(failing.error).toMatchObject({
    code: 'invalid_input',
    message: 'the model does not take this input',
  });

  const form = new FormData();
  const options = { password: CANARY, pages: [1] };
  form.set('request', JSON.stringify({ options }));
  form.set('document', new Blob([makePdf({ pages: [textPage('x')], password: 'other' })]));
  const locked = await fetch(`${service.url}/v1/models/document/predictions`, {
    method: 'POST',
    headers: { 'Idempotency-Key': `document-${CANARY}` },
    body: form,
  });
  const { id: lockedId } = (await locked.json()) as Prediction;
  expect((await service.ended(lockedId)).error).toMatchObject({ reason: 'wrong_password' });

  const items = [
    { custom_id: CANARY, input: affine(4711) },
    { custom_id: 'b', input: { x: CANARY } },
    { custom_id: 'c', input: { x: fileId } },
  ];
  const batched = await json('/v1/batches', { model: 'affine', items });
  const batch = (await batched.json()) as Batch;
  const done = await fetch(`${batch.urls.get}?wait=30`);
  expect(((await done.json()) as Batch).request_counts).toMatchObject({ succeeded: 1, failed: 2 });
  expect(await (await fetch(batch.urls.output)).text()).toContain(CANARY); // clients see it all the same
  await receiver.at('/hook');
  await until('the delivery to be noted', async () => {
    const answer = await fetch(`${service.url}/v1/predictions/${id}/webhook`);
    const { data } = (await answer.json()) as { data: { attempts: unknown[] }[] };
    return (data[0]?.attempts.length ?? 0) > 0 ? true : undefined;
  });

  expect(await found(batch.id)).toBe(true); // the search works
  expect(await found(CANARY)).toBe(false);
  expect(await found(Buffer.from(CANARY).toString('base64').slice(0, 12))).toBe(false);
});

/** Whether the engine's database has these bytes anywhere. */
async function found(text: string): Promise<boolean> {
  const { folder } = service.temporal;
  for (const name of await readdir(folder)) {
    if (name.startsWith('temporal.db') && (await readFile(join(folder, name))).includes(text)) {
      return true;
    }
  }
  return false;
}
