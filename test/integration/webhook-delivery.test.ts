/* The delivery workflow on a real server, with a schedule in milliseconds and a receiver of the test's. */
import { resolve } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { DELIVERY_QUEUE } from '../../src/contract/task-queues.ts';
import type { DeliverResult, DeliveryRequest, DeliveryState } from '../../src/contract/webhook.ts';
import { Engine } from '../../src/temporal/engine.ts';
import { DeliveryEngine } from '../../src/temporal/delivery-engine.ts';
import { until } from '../support/conditions.ts';
import { type Temporal, useTemporal } from '../support/temporal.ts';

const HOUR_MS = 3_600_000;

let temporal: Temporal;
let native: NativeConnection;
let client: Client;
let engine: DeliveryEngine;
let worker: { close(): Promise<void> };
let answers: (() => DeliverResult)[];
let count = 0;

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  temporal = await useTemporal();
  native = await NativeConnection.connect({ address: temporal.address });
  client = new Client({
    connection: await Connection.connect({ address: temporal.address }),
    namespace: temporal.namespace,
  });
  engine = new DeliveryEngine(new Engine(client));
  const created = await Worker.create({
    connection: native,
    namespace: temporal.namespace,
    taskQueue: DELIVERY_QUEUE,
    workflowBundle: { codePath: resolve('dist/workflow-bundle.js') },
    activities: {
      deliver: async () =>
        await Promise.resolve((answers.length > 1 ? answers.shift() : answers[0])?.()),
    },
    enableNonLocalActivities: false,
  });
  const running = created.run();
  worker = {
    async close() {
      created.shutdown();
      await running;
    },
  };
});
afterAll(async () => {
  await worker.close();
  await native.close();
  await client.connection.close();
  await temporal.close();
});

const answered = (status: number, retryAfterMs: number | null = null): DeliverResult => ({
  outcome: 'sent',
  attempt: {
    at: new Date().toISOString(),
    origin: 'https://example.com',
    status,
    error: status < 300 ? null : { code: 'refused', message: `answered ${status}` },
    duration_ms: 1,
    answer: 'text',
  },
  retry_after_ms: retryAfterMs,
});

async function start(schedule_ms: readonly number[], earlier: DeliveryRequest['earlier'] = []) {
  const id = `pred_${String((count += 1)).padStart(26, '0')}.webhook`;
  const request: DeliveryRequest = {
    id,
    tenant: 'default',
    event: {
      id: 'evt_1',
      type: 'ping',
      timestamp: new Date().toISOString(),
      subject: { type: 'ping' },
    },
    receiver: { type: 'webhook', url: 'https://example.com/' },
    schedule_ms,
    earlier,
  };
  await engine.start(request, 'TERMINATE_EXISTING');
  return request;
}
const reaches = async (id: string, what: string, check: (state: DeliveryState) => boolean) =>
  await until(`${id} ${what}`, async () => {
    const state = await engine.find(id);
    return state !== null && check(state) ? state : undefined;
  });
const waits =
  (count: number) =>
  ({ attempts, next_attempt_at: at }: DeliveryState) =>
    attempts.length === count && at !== null;
const outcome = async (id: string) =>
  await until(`${id} to close`, async () => {
    const { status, closeTime } = await client.workflow.getHandle(id).describe();
    return closeTime === undefined ? undefined : status.name;
  });

test('it is tried by the schedule until it is used up, and every attempt is in the memo', async () => {
  answers = [() => answered(500)];
  const { id } = await start([0, 20, 40, 80]);
  const state = await reaches(id, 'to fail', ({ status }) => status === 'failed');
  const times = state.attempts.map(({ at }) => Date.parse(at));

  expect(state).toMatchObject({ reason: 'exhausted', next_attempt_at: null });
  expect(state.attempts.map(({ number }) => number)).toEqual([1, 2, 3, 4]);
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(20);
  expect((times[3] ?? 0) - (times[2] ?? 0)).toBeGreaterThanOrEqual(80);
  expect(await outcome(id)).toBe('FAILED');
});

test('while it waits, the next attempt is known', async () => {
  answers = [() => answered(503)];
  const { id } = await start([0, HOUR_MS]);
  const waiting = await reaches(id, 'to wait', ({ attempts }) => attempts.length === 1);
  const inMs = Date.parse(waiting.next_attempt_at ?? '') - Date.now();

  expect(waiting.status).toBe('pending');
  expect(inMs).toBeGreaterThan(HOUR_MS - 60_000);
  expect(inMs).toBeLessThan(HOUR_MS * 1.1);
});

test('started again, a waiting one is tried at once and begins its schedule anew', async () => {
  answers = [() => answered(500)];
  const request = await start([0, HOUR_MS, 10]);
  const { attempts: earlier } = await reaches(request.id, 'to wait', waits(1));
  await engine.start({ ...request, earlier }, 'USE_EXISTING');
  await engine.start({ ...request, earlier }, 'TERMINATE_EXISTING');
  const hurried = await reaches(request.id, 'to be tried', waits(2));
  expect(hurried.status).toBe('pending'); // or the third pause, of 10 ms, would have been next
  answers = [() => answered(200)];
  await engine.start({ ...request, earlier: hurried.attempts }, 'TERMINATE_EXISTING');
  const told = await reaches(request.id, 'to be told', ({ status }) => status === 'delivered');

  expect(told.attempts.map(({ status }) => status)).toEqual([500, 500, 200]);
  expect(await outcome(request.id)).toBe('COMPLETED');
});

test('started again, an ended one carries its attempts along, the last twenty of them', async () => {
  answers = [() => answered(500)];
  const first = await start(Array.from({ length: 15 }, () => 0));
  const { attempts: earlier } = await reaches(first.id, 'to fail', (s) => s.status === 'failed');
  await engine.start({ ...first, earlier }, 'USE_EXISTING');
  const again = await reaches(first.id, 'to fail', ({ status, attempts }) => {
    return status === 'failed' && attempts.at(-1)?.number === 30;
  });

  expect(again.attempts).toHaveLength(20);
  expect(again.attempts[0]?.number).toBe(11);
});

test('a receiver with enough to do is asked again later, and that is no attempt', async () => {
  answers = [() => ({ outcome: 'busy', retry_after_ms: 1500 }), () => answered(200)];
  const startedAt = Date.now();
  const { id } = await start([0]);
  await reaches(id, 'to wait', ({ status, reason }) => {
    return status === 'pending' && reason === 'origin_busy';
  });
  const state = await reaches(id, 'to be told', ({ status }) => status === 'delivered');

  expect(Date.now() - startedAt).toBeGreaterThanOrEqual(1500);
  expect(state.attempts.map(({ number }) => number)).toEqual([1]);
});

test('terminated from outside, it has failed, and can be started again', async () => {
  answers = [() => answered(500), () => answered(200)];
  const request = await start([0, HOUR_MS]);
  await reaches(request.id, 'to wait', ({ attempts }) => attempts.length === 1);
  await client.workflow.getHandle(request.id).terminate();
  const cut = await reaches(request.id, 'to be cut off', ({ status }) => status === 'failed');
  await engine.start({ ...request, earlier: cut.attempts }, 'USE_EXISTING');
  const told = await reaches(request.id, 'to be told', ({ status }) => status === 'delivered');

  expect(cut).toMatchObject({ reason: 'terminated', next_attempt_at: null });
  expect(told.attempts.map(({ status }) => status)).toEqual([500, 200]);
});
