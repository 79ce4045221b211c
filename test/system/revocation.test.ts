/* A key that is revoked, or may not read, learns nothing any more: not by what it had begun either. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { TestKeys } from '../support/keys.ts';
import { affine, Service } from '../support/service.ts';

type Headers = Record<string, string>;

/** Four times the half second that is promised. */
const LATEST_MS = 4 * 500;

let keys: TestKeys;
let service: Service;

beforeAll(async () => {
  keys = await TestKeys.create();
  service = await Service.start({ BUZZER_KEYS_FILE: keys.path, BUZZER_MODEL_BACKLOG: '6' });
});
afterAll(async () => {
  await service.close();
  await keys.close();
});

const post = async (path: string, headers: Headers, body?: object): Promise<Response> =>
  await fetch(`${service.url}/v1${path}`, {
    method: 'POST',
    headers: { ...headers, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

/** One that waits for an hour, of the tenant of this key. */
async function waiting(headers: Headers): Promise<string> {
  const order = { model: 'affine', input: affine(), start_after: '1h' };
  const answer = await post('/predictions', headers, order);
  return ((await answer.json()) as Prediction).id;
}

test.each([
  ['an event stream', '/events', 200],
  ['a wait', '?wait=60', 401],
])('%s ends when its key is revoked', async (_what, path, status) => {
  const { id: keyId, headers } = await keys.add('acme', ['predict', 'read']);
  const id = await waiting(headers);
  const following = (async () => {
    const answer = await fetch(`${service.url}/v1/predictions/${id}${path}`, { headers });
    await answer.text();
    return { status: answer.status, atMs: Date.now() };
  })();
  await pause(300); // it has begun
  const revokedAtMs = Date.now();
  await keys.revoke(keyId);
  const ended = await following;
  expect(ended.status).toBe(status);
  expect(ended.atMs - revokedAtMs).toBeLessThan(LATEST_MS);
});

test('an event stream ends when its key expires', async () => {
  const { headers } = await keys.add('acme', ['predict', 'read'], 1500);
  const id = await waiting(headers);
  const at = Date.now();
  await (await fetch(`${service.url}/v1/predictions/${id}/events`, { headers })).text();
  expect(Date.now() - at).toBeLessThan(1500 + LATEST_MS);
});

describe('a key that may not read', () => {
  let reader: Headers;
  let blind: Headers;
  let id: string;

  beforeAll(async () => {
    reader = (await keys.add('shown', ['predict', 'read'])).headers;
    blind = (await keys.add('shown', ['predict'])).headers;
    const order = { model: 'affine', input: affine(20.25) };
    const done = await post('/predictions', { ...reader, Prefer: 'wait=30' }, order);
    const record = (await done.json()) as Prediction;
    expect(JSON.stringify(record.output)).toContain('41.5');
    ({ id } = record);
  });

  test.each<[string, () => Promise<Response>]>([
    ['cancel', async () => await post(`/predictions/${id}/cancel`, blind)],
    ['retry', async () => await post(`/predictions/${id}/retry?wait=30`, blind)],
    [
      'submit and wait',
      async () =>
        await post('/predictions?wait=30', blind, { model: 'affine', input: affine(20.25) }),
    ],
  ])('%s answers with no output and no input', async (_what, ask) => {
    const answer = await ask();
    const record = (await answer.json()) as Prediction;
    expect(answer.status).toBe(200);
    expect(record).toMatchObject({ status: 'succeeded', output: null });
    expect(record.output_url).toBe(`${service.url}/v1/predictions/${record.id}/output`);
    expect(JSON.stringify(record)).not.toContain('41.5');
    expect(JSON.stringify(record)).not.toContain('20.25');
    // Whoever knows the hash of a small value knows the value.
    expect(record.input['inputs']).toMatchObject({ bytes: null, sha256: null });
  });

  test('cancel of what has ended gives nobody an output', async () => {
    const answer = await post(`/predictions/${id}/cancel`, reader);
    expect(await answer.json()).toMatchObject({ status: 'succeeded', output: null });
  });

  test('an infer call, whose answer is the output, is refused', async () => {
    const answer = await fetch(`${service.url}/v2/models/affine/infer`, {
      method: 'POST',
      headers: { ...blind, 'Content-Type': 'application/json' },
      body: JSON.stringify(affine()),
    });
    expect([answer.status, await answer.json()]).toEqual([
      403,
      expect.objectContaining({ code: 'forbidden' }),
    ]);
  });
});

test('one tenant gets half of a model’s backlog at most', async () => {
  const greedy = (await keys.add('greedy', ['predict', 'read'])).headers;
  const other = (await keys.add('modest', ['predict', 'read'])).headers;
  await service.inference.signal('SIGSTOP');
  try {
    const order = { model: 'affine', input: affine() };
    const statuses: number[] = [];
    for (let sent = 0; sent < 5; sent++) {
      statuses.push((await post('/predictions', greedy, order)).status);
    }
    expect(statuses).toEqual([202, 202, 202, 503, 503]);
    expect((await post('/predictions', other, order)).status).toBe(202);
  } finally {
    await service.inference.signal('SIGCONT');
  }
  await until('room', async () =>
    (await post('/predictions', greedy, { model: 'affine', input: affine() })).status === 202
      ? true
      : undefined,
  );
});
