/* What can be done with a prediction that has ended: asking for it again, and forgetting it. */
import { readFile } from 'node:fs/promises';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { affine, burn, Service } from '../support/service.ts';

let service: Service;
let receiver: Receiver;
let page: Buffer;

beforeAll(async () => {
  page = await readFile('examples/page.png');
  receiver = await startReceiver((_path, response) => {
    response.statusCode = 500;
    response.end();
  });
  service = await Service.start({
    BUZZER_OUTBOUND_ALLOW: 'http://127.0.0.1',
    BUZZER_WEBHOOK_SCHEDULE: '0s,1h',
  });
});
afterAll(async () => {
  await service.close();
  await receiver.close();
});

const call = async (path: string, method = 'GET', headers: Record<string, string> = {}) =>
  await fetch(`${service.url}/v1/predictions/${path}`, { method, headers });

async function readPage(): Promise<Prediction> {
  const response = await fetch(`${service.url}/v1/models/ocr/predictions`, {
    method: 'POST',
    headers: { 'Content-Type': 'image/png', Prefer: 'wait' },
    body: page,
  });
  return (await response.json()) as Prediction;
}

test('a retry is a new prediction of the same input, and survives the end of the old one', async () => {
  const first = await readPage();
  const response = await call(`${first.id}/retry`, 'POST', { Prefer: 'wait' });
  const again = (await response.json()) as Prediction;
  await call(first.id, 'DELETE');
  const input = await call(`${again.id}/input/image`);

  expect(response.status).toBe(200);
  expect(response.headers.get('Location')).toBe(again.urls.get);
  expect(again).toMatchObject({ retry_of: first.id, status: 'succeeded', output: first.output });
  expect(again.id).not.toBe(first.id);
  expect(Buffer.from(await input.arrayBuffer())).toEqual(page);
});

test('a retry with an Idempotency-Key is made once', async () => {
  const { id } = await service.submit('affine', affine());
  await service.ended(id);
  const key = { 'Idempotency-Key': 'retry-1' };
  const answers = [await call(`${id}/retry`, 'POST', key), await call(`${id}/retry`, 'POST', key)];
  const [one, two] = (await Promise.all(answers.map(async (each) => await each.json()))) as [
    Prediction,
    Prediction,
  ];

  expect(one.id).toBe(two.id);
  expect(answers[1]?.headers.get('Idempotency-Replayed')).toBe('true');
});

test('a running one is neither retried nor deleted', async () => {
  const { id } = await service.submit('burn', burn(60));
  const answers = [await call(`${id}/retry`, 'POST'), await call(id, 'DELETE')];
  await service.cancel(id);

  expect(answers.map(({ status }) => status)).toEqual([409, 409]);
  expect(await service.ended(id)).toMatchObject({ status: 'canceled' });
});

test('deleted, a prediction is gone at once and everywhere: record, data, deliveries, list', async () => {
  const key = { 'Idempotency-Key': 'deleted-1' };
  const body = {
    model: 'affine',
    input: affine(),
    webhook: `${receiver.url}/hook`,
    tags: ['gone'],
  };
  const accepted = (await (await service.post(body, key)).json()) as Prediction;
  const { id } = accepted;
  await service.ended(id);
  await receiver.at('/hook'); // its next attempt is an hour away
  const deleted = await call(id, 'DELETE');
  const paths = [id, `${id}/output`, `${id}/webhook`, `${id}/input/inputs`];
  const reads = await Promise.all(paths.map(async (path) => (await call(path)).status));
  const once = await call(id, 'DELETE');
  const replay = await service.post(body, key);

  expect(deleted.status).toBe(204);
  expect(reads).toEqual([410, 410, 410, 410]);
  expect([204, 410]).toContain(once.status); // it finishes what may be left, or there is nothing left
  expect(replay.status).toBe(410);
  expect(service.payloads()).not.toContain(id);
  await until('the list to forget it', async () => {
    const response = await fetch(`${service.url}/v1/predictions?tag=gone`);
    const { data } = (await response.json()) as { data: unknown[] };
    return data.length === 0 ? true : undefined;
  });
  await until(
    'Temporal to forget its workflows',
    async () => {
      const all = await Promise.all([id, `${id}.webhook`].map(isKnown));
      return all.includes(true) ? undefined : true;
    },
    120_000,
  );
}, 180_000);

const isKnown = async (id: string): Promise<boolean> =>
  await service.temporalCli('workflow', 'describe', '-w', id).then(
    () => true,
    () => false,
  );

test('what was never there is 404, also for these', async () => {
  const id = `pred_${'0'.repeat(26)}`;

  expect((await call(`${id}/retry`, 'POST')).status).toBe(404);
  expect((await call(id, 'DELETE')).status).toBe(404);
});
