/* What a request may say beside its input: once, when, how long, how urgent, and how to find it again. */
import { rm } from 'node:fs/promises';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { burnModels } from '../support/runtimes.ts';
import { affine, burn, Service } from '../support/service.ts';

let service: Service;
let models: string;

beforeAll(async () => {
  models = await burnModels();
  service = await Service.start({ BUZZER_MODELS: `${models},models` });
});
afterAll(async () => {
  await service.close();
  await rm(models, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly replayed: string | null;
  readonly record: Prediction & { code?: string; errors?: { pointer: string }[] };
}

async function post(body: object, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await service.post(body, headers);
  const record = (await response.json()) as Answer['record'];
  return {
    status: response.status,
    replayed: response.headers.get('Idempotency-Replayed'),
    record,
  };
}
const order = (more: object = {}) => ({ model: 'affine', input: affine(), ...more });
const keyed = (key: string) => ({ 'Idempotency-Key': key });

describe('Idempotency-Key', () => {
  test('the same request is the same prediction, whatever the order of its members', async () => {
    const first = await post(order({ priority: 2, metadata: { a: '1' } }), keyed('one'));
    await service.ended(first.record.id);
    const { model, input } = order();
    const again = await post({ metadata: { a: '1' }, priority: 2, input, model }, keyed('one'));

    expect([first.status, first.replayed]).toEqual([202, null]);
    expect([again.status, again.replayed]).toEqual([200, 'true']);
    expect(again.record).toMatchObject({ id: first.record.id, status: 'succeeded' });
  });

  test('another request with the same key is refused, and disturbs nothing', async () => {
    const first = await post(order(), keyed('two'));
    const other = await post({ model: 'affine', input: affine(2) }, keyed('two'));

    expect(other).toMatchObject({ status: 422, record: { code: 'idempotency_mismatch' } });
    expect(await service.ended(first.record.id)).toMatchObject({ status: 'succeeded' });
  });

  test('of many first calls at once one is accepted, and only its upload stays', async () => {
    const values = Array.from({ length: 4000 }, (_, index) => index / 3);
    const input = { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4000], data: values }] };
    const answers = await Promise.all(
      Array.from({ length: 8 }, async () => await post({ model: 'affine', input }, keyed('three'))),
    );
    const ids = new Set(answers.map(({ record }) => record.id));
    const [id = ''] = ids;
    const record = await service.ended(id);
    const stored = await fetch(`${service.url}/v1/predictions/${id}/input/inputs`);

    expect(ids.size).toBe(1);
    expect(answers.filter(({ replayed }) => replayed === null)).toHaveLength(1);
    expect(answers.every(({ status }) => status === 202 || status === 200)).toBe(true);
    expect(record.status).toBe('succeeded');
    expect(stored.status).toBe(200);
    expect(service.uploads(id)).toHaveLength(1);
  });

  test('media counts by its bytes; another page is another request, and leaves nothing', async () => {
    const send = async (bytes: Buffer) =>
      await fetch(`${service.url}/v1/models/ocr/predictions`, {
        method: 'POST',
        headers: { 'Content-Type': 'image/png', ...keyed('four') },
        body: bytes,
      });
    const [page, other] = [pngOf(40), pngOf(41)];
    const first = (await (await send(page)).json()) as Prediction;
    const again = await send(page);
    const mismatch = await send(other);

    expect(((await again.json()) as Prediction).id).toBe(first.id);
    expect(again.headers.get('Idempotency-Replayed')).toBe('true');
    expect(mismatch.status).toBe(422);
    expect(service.uploads(first.id)).toHaveLength(1);
  });

  test('what was refused may be sent again, mended, with the same key', async () => {
    const refused = await post({ model: 'affine', input: {} }, keyed('five'));
    const mended = await post(order(), keyed('five'));

    expect([refused.status, mended.status]).toEqual([422, 202]);
  });

  test.each([' ', 'x'.repeat(256), 'naïve'])('the key %j is refused', async (key) => {
    const response = await service.post(order(), {
      'Idempotency-Key': Buffer.from(key).toString('latin1'),
    });
    expect(response.status).toBe(400);
  });
});

/** A PNG header of this width: accepted; what is behind it is found missing later. */
function pngOf(width: number): Buffer {
  const png = Buffer.from(
    '89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489',
    'hex',
  );
  png.writeUInt32BE(width, 16);
  return png;
}

test('what the client notes is in the record and in the list, and finds it', async () => {
  const before = new Date(Date.now() - 1000).toISOString();
  const metadata = { customer: '42', note: 'grüße' };
  const { record } = await post(
    order({ metadata, tags: ['batch:7', 'batch:7', 'night'], priority: 1 }),
  );
  await service.ended(record.id);
  const find = async (query: string) => {
    const response = await fetch(`${service.url}/v1/predictions?${query}`);
    return ((await response.json()) as { data: Prediction[] }).data.map(({ id }) => id);
  };
  const found = await until('the list to know it', async () => {
    const ids = await find('tag=batch:7');
    return ids.length > 0 ? ids : undefined;
  });

  expect(record).toMatchObject({ metadata, tags: ['batch:7', 'night'], priority: 1 });
  expect(found).toEqual([record.id]);
  expect(await find('tag=day')).toEqual([]);
  expect(await find(`tag=night&created_after=${before}`)).toEqual([record.id]);
  expect(await find(`tag=night&created_before=${before}`)).toEqual([]);
  expect((await fetch(`${service.url}/v1/predictions?tag=a'b`)).status).toBe(400);
});

test('start_after: it waits until then and says so, and its deadline counts from then', async () => {
  const { record } = await post(order({ start_after: '3s', deadline: '1m' }));
  const startMs = Date.parse(record.start_after ?? '');
  const waiting = await service.read(record.id);
  const ended = await service.ended(record.id);

  expect(startMs - Date.parse(record.created_at)).toBe(3000);
  expect(Date.parse(record.deadline_at) - startMs).toBe(60_000);
  expect(waiting).toMatchObject({ status: 'queued', queue: { reason: 'scheduled' } });
  expect(Date.parse(ended.started_at ?? '')).toBeGreaterThanOrEqual(startMs);
  expect(ended.metrics?.queue_ms).toBeLessThan(3000); // it did not wait before it was its time
});

test('a scheduled one can be canceled before its time', async () => {
  const { record } = await post(order({ start_after: '1h' }));
  await service.cancel(record.id);

  expect(await service.ended(record.id)).toMatchObject({ status: 'canceled', attempt: 0 });
});

test('queue_ttl, run_timeout and deadline of a request are its own', async () => {
  await service.inference.signal('SIGTERM'); // nobody starts anything
  const ttl = await post(order({ queue_ttl: '1s' }));
  const late = await post(order(), { 'Cancel-After': '1s' });
  const aborted = [await service.ended(ttl.record.id), await service.ended(late.record.id)];
  await service.inference.start();
  const short = await post({ model: 'burn', input: burn(20), run_timeout: '1s' });
  const timedOut = await service.ended(short.record.id);
  const whole = await post({ model: 'burn', input: burn(20), deadline: '2s' });
  const exceeded = await service.ended(whole.record.id);

  expect(aborted).toMatchObject([
    { status: 'aborted', queue_ttl: '1s', error: { code: 'queue_timeout' } },
    { status: 'aborted', deadline: '1s', error: { code: 'deadline_exceeded' } },
  ]);
  expect(timedOut).toMatchObject({ status: 'failed', error: { code: 'run_timeout' } });
  expect(exceeded).toMatchObject({ status: 'failed', error: { code: 'deadline_exceeded' } });
});

test('of a backlog the urgent ones run first', async () => {
  const blocker = await post({ model: 'burn', input: burn(2) });
  await service.processing(blocker.record.id);
  const ids: string[] = [];
  for (const priority of [5, 3, 1]) {
    for (let count = 0; count < 3; count++) {
      ids.push((await post({ model: 'burn', input: burn(0.3), priority })).record.id);
    }
  }
  const ended = await Promise.all(ids.map(async (id) => await service.ended(id, 60_000)));
  const order = ended
    .toSorted((a, b) => Date.parse(a.completed_at ?? '') - Date.parse(b.completed_at ?? ''))
    .map(({ priority }) => priority);

  // The worker takes a second one ahead of its turn, before the urgent ones are there.
  expect(order.slice(-2)).toEqual([5, 5]);
  expect(order.indexOf(1)).toBeLessThanOrEqual(1);
  expect(order.lastIndexOf(1)).toBeLessThan(order.indexOf(3));
});

test.each([
  [{ priority: 0 }, '/priority'],
  [{ priority: 2.5 }, '/priority'],
  [{ priority: '1' }, '/priority'],
  [{ tags: ["it's"] }, '/tags/0'],
  [{ tags: Array.from({ length: 17 }, (_, index) => String(index)) }, '/tags'],
  [{ metadata: { a: 1 } }, '/metadata/a'],
  [{ metadata: { a: 'x'.repeat(5000) } }, '/metadata'],
  [{ deadline: '0s' }, '/deadline'],
  [{ deadline: '-1s' }, '/deadline'],
  [{ deadline: '31d' }, '/deadline'],
  [{ deadline: 60 }, '/deadline'],
  [{ queue_ttl: 'soon' }, '/queue_ttl'],
  [{ run_timeout: '1h' }, '/run_timeout'],
  [{ start_after: 'tomorrow' }, '/start_after'],
  [{ start_after: '2026-02-31' }, '/start_after'],
  [{ start_after: '2026-11-31T00:00:00Z' }, '/start_after'],
  [{ start_after: '9999-01-01T00:00:00Z' }, '/start_after'],
])('%j is refused at %s', async (more, pointer) => {
  const { status, record } = await post({ model: 'burn', input: burn(0.1), ...more });

  expect([status, record.errors?.[0]?.pointer]).toEqual([422, pointer]);
});

test('a header and a body that contradict each other are refused', async () => {
  const contradiction = await post(order({ deadline: '1m' }), { 'Cancel-After': '2m' });
  const malformed = await post(order(), { 'Cancel-After': '5 minutes' });
  const same = await post(order({ deadline: '1m' }), { 'Cancel-After': '60s' });

  expect([contradiction.status, malformed.status, same.status]).toEqual([400, 400, 202]);
});
