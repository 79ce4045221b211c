/*
 * The workflow on a real server, with an infer activity that behaves as each test wants. The
 * orchestration worker runs the bundle that production runs.
 */
import { resolve } from 'node:path';
import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { AttemptReport, FailureCode } from '../../src/contract/failure.ts';
import {
  type InferRequest,
  type InferResult,
  MEMO_ENDED,
  type PredictionRequest,
} from '../../src/contract/messages.ts';
import type { Accepted, Ended } from '../../src/contract/prediction.ts';
import { inferenceQueue, ORCHESTRATION_QUEUE } from '../../src/contract/task-queues.ts';
import { Engine } from '../../src/temporal/engine.ts';
import { PredictionEngine } from '../../src/temporal/prediction-engine.ts';
import { until } from '../support/conditions.ts';
import { type Temporal, useTemporal } from '../support/temporal.ts';

let temporal: Temporal;
let native: NativeConnection;
let client: Client;
let engine: Engine;
let predictions: PredictionEngine;
let orchestration: { worker: Worker; running: Promise<void> };
let count = 0;

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  temporal = await useTemporal();
  native = await NativeConnection.connect({ address: temporal.address });
  client = new Client({
    connection: await Connection.connect({ address: temporal.address }),
    namespace: temporal.namespace,
  });
  engine = new Engine(client);
  predictions = new PredictionEngine(engine);
  const worker = await Worker.create({
    connection: native,
    namespace: temporal.namespace,
    taskQueue: ORCHESTRATION_QUEUE,
    workflowBundle: { codePath: resolve('dist/workflow-bundle.js') },
  });
  orchestration = { worker, running: worker.run() };
});
afterAll(async () => {
  orchestration.worker.shutdown();
  await orchestration.running;
  await native.close();
  await client.connection.close();
  await temporal.close();
});

type Infer = (request: InferRequest) => Promise<InferResult>;

/** Serves the model of one test until the function it returns is called. */
async function serve(model: string, infer: Infer): Promise<() => Promise<void>> {
  const worker = await Worker.create({
    connection: native,
    namespace: temporal.namespace,
    taskQueue: inferenceQueue({ name: model, version: 1 }),
    activities: { infer },
    maxHeartbeatThrottleInterval: 100,
  });
  const running = worker.run();
  return async () => {
    worker.shutdown();
    await running;
  };
}

async function start(
  model: string,
  more: Partial<Accepted> = {},
  deadlineMs = 60_000,
  heartbeatTimeoutMs = 2000,
) {
  const nowMs = Date.now();
  const accepted: Accepted = {
    id: `pred_${String((count += 1)).padStart(26, '0')}`,
    tenant: 'default',
    model,
    version: 1,
    input: { x: { kind: 'inline', value: 1 } },
    options: {},
    metadata: {},
    tags: [],
    priority: 3,
    result_ttl: '1h',
    queue_ttl: '1m',
    run_timeout: '1m',
    deadline: '1m',
    created_at: new Date(nowMs).toISOString(),
    deadline_at: new Date(nowMs + deadlineMs).toISOString(),
    ...more,
  };
  const request: PredictionRequest = { accepted, heartbeatTimeoutMs };
  await predictions.start(request);
  return accepted.id;
}

/** The end that the memo holds once the workflow is closed, and Temporal's own status. */
async function endOf(id: string): Promise<{ ended: Ended; status: string }> {
  return await until(`${id} to end`, async () => {
    const description = await engine.describe(id);
    if (description.closeTime === undefined) return undefined;
    return { ended: description.memo?.[MEMO_ENDED] as Ended, status: description.status.name };
  });
}

function report(request: InferRequest): AttemptReport {
  return {
    attempt: request.earlier.attempts + Context.current().info.attempt,
    activity_attempt: Context.current().info.attempt,
    started_at: new Date().toISOString(),
    worker: 'test',
    deaths: 0,
    alone: false,
    progress: null,
  };
}

/** What an attempt has done. */
const WORK = {
  attempt: 1,
  since: 1,
  key: 'k',
  head: null,
  offset: 0,
  tail: { text: 'a', ids: [1] },
} as const;

const result = (request: InferRequest): InferResult => ({
  output: { kind: 'inline', value: 'done' },
  report: report(request),
  metrics: {
    queue_ms: 1,
    load_ms: null,
    wait_ms: 0,
    inference_ms: 1,
    total_ms: 3,
    batch_size: 1,
    device: 'cpu',
    worker: 'test',
    tokens: null,
  },
});

const failure = (request: InferRequest, code: FailureCode, isRetried: boolean) =>
  ApplicationFailure.create({
    type: code,
    message: `it was ${code}`,
    nonRetryable: !isRetried,
    details: [report(request), { partial: WORK, reason: null }],
    nextRetryDelay: 200,
  });

test('a result ends it as succeeded, in the memo and for Temporal alike', async () => {
  const stop = await serve('good', async (request) => result(request));
  const { ended, status } = await endOf(await start('good'));
  await stop();

  expect(status).toBe('COMPLETED');
  expect(ended).toMatchObject({
    status: 'succeeded',
    output: { kind: 'inline', value: 'done' },
    attempt: 1,
  });
});

test('a terminal failure ends it after one attempt', async () => {
  const stop = await serve('bad', async (request) => {
    throw failure(request, 'invalid_input', false);
  });
  const { ended, status } = await endOf(await start('bad'));
  await stop();

  expect(status).toBe('FAILED');
  expect(ended).toMatchObject({
    status: 'failed',
    error: { code: 'invalid_input', message: 'it was invalid_input', attempt: 1 },
  });
});

test('a retryable failure costs attempts only', async () => {
  const stop = await serve('flaky', async (request) => {
    if (Context.current().info.attempt < 3) throw failure(request, 'model_unavailable', true);
    return result(request);
  });
  const { ended } = await endOf(await start('flaky'));
  await stop();

  expect(ended).toMatchObject({ status: 'succeeded', attempt: 3 });
});

test('what nobody starts within its queue_ttl is aborted, and found by its outcome', async () => {
  const id = await start('nobody', { queue_ttl: '1s' });
  const { ended, status } = await endOf(id);
  const listed = await until('the list to show it', async () => {
    const page = await predictions.list({ status: 'aborted' }, { pageSize: 10, token: null });
    return page.rows.some((execution) => execution.id === id) ? true : undefined;
  });

  expect(status).toBe('FAILED');
  expect(listed).toBe(true);
  expect(ended).toMatchObject({
    status: 'aborted',
    attempt: 0,
    started_at: null,
    error: { code: 'queue_timeout', retryable: true },
  });
});

test('a deadline that passes before anything started aborts it', async () => {
  const { ended } = await endOf(await start('nobody', {}, 1000));

  expect(ended).toMatchObject({ status: 'aborted', error: { code: 'deadline_exceeded' } });
});

test('a deadline that passes during a run fails it', async () => {
  const stop = await serve('endless', async (request) => {
    for (;;) {
      Context.current().heartbeat({ report: report(request), partial: WORK });
      await Context.current().sleep(50);
    }
  });
  const { ended } = await endOf(await start('endless', {}, 1500));
  await stop();

  expect(ended).toMatchObject({
    status: 'failed',
    attempt: 1,
    error: { code: 'deadline_exceeded', attempt: 1 },
    partial: WORK,
  });
});

test('a deadline that passes between attempts fails it', async () => {
  const stop = await serve('broken', async (request) => {
    Context.current().heartbeat({ report: report(request), partial: null });
    throw failure(request, 'model_unavailable', true);
  });
  const { ended } = await endOf(await start('broken', {}, 1500));
  await stop();

  expect(ended).toMatchObject({ status: 'failed', error: { code: 'deadline_exceeded' } });
  expect(ended.attempt).toBeGreaterThan(1);
});

test('the queue_ttl is for the first start only: a retry may wait longer', async () => {
  const once = await serve('interrupted', async (request) => {
    Context.current().heartbeat({ report: report(request), partial: WORK });
    throw failure(request, 'worker_lost', true);
  });
  let earlier: InferRequest['earlier'] | undefined;
  const id = await start('interrupted', { queue_ttl: '2s' });
  await until('the first attempt', async () => {
    const { raw } = await engine.describe(id);
    return raw.pendingActivities?.[0]?.lastFailure ? true : undefined;
  });
  await once();
  await scheduledAnew(id);
  const again = await serve('interrupted', async (request) => {
    earlier = request.earlier;
    return result(request);
  });
  const { ended } = await endOf(id);
  await again();

  expect(ended.status).toBe('succeeded');
  expect(ended.attempt).toBeGreaterThanOrEqual(2);
  expect(earlier?.partial).toEqual(WORK); // what was done goes along
});

/** Takes the attempt as a worker does that dies before it has said a word. */
async function takeAndDie(model: string): Promise<void> {
  const { connection } = client;
  const ask = async () =>
    await client.workflowService.pollActivityTaskQueue({
      namespace: temporal.namespace,
      taskQueue: { name: inferenceQueue({ name: model, version: 1 }) },
      identity: 'dead',
    });
  const { taskToken } = await connection.withDeadline(Date.now() + 10_000, ask);
  expect(taskToken).not.toHaveLength(0);
}

test.each([
  ['before its death is noticed', 2000, 60_000],
  ['while it waits for the retry', 5000, 1000],
])(
  'a deadline that passes after a worker died unheard, %s, fails it',
  async (_when, deadlineMs, heartbeatTimeoutMs) => {
    const model = `unheard-${heartbeatTimeoutMs}`;
    const id = await start(model, {}, deadlineMs, heartbeatTimeoutMs);
    await takeAndDie(model);

    expect((await endOf(id)).ended).toMatchObject({
      status: 'failed',
      attempt: 1,
      started_at: null,
      error: { code: 'deadline_exceeded', attempt: 1 },
    });
  },
);

test('a deadline that passes while it is paused, before anything started, aborts it', async () => {
  const id = await start('paused', {}, 2000);
  const { workflowService } = client;
  const of = {
    namespace: temporal.namespace,
    execution: { workflowId: id },
    type: 'infer',
    identity: 'test',
  };
  await until('it to be paused', async () => {
    await workflowService.pauseActivity(of).catch(() => {}); // not scheduled yet
    const [pending] = (await engine.describe(id)).raw.pendingActivities ?? [];
    return pending?.paused === true ? true : undefined;
  });
  await new Promise((done) => {
    setTimeout(done, 2500);
  });
  await workflowService.unpauseActivity(of);

  expect((await endOf(id)).ended).toMatchObject({
    status: 'aborted',
    attempt: 0,
    error: { code: 'deadline_exceeded' },
  });
});

test('the queue_ttl is over with the first start, also of a worker that died unheard', async () => {
  const id = await start('unheard', { queue_ttl: '3s' }, 60_000, 1000);
  await takeAndDie('unheard');
  await scheduledAnew(id);
  const stop = await serve('unheard', async (request) => result(request));
  const { ended } = await endOf(id);
  await stop();

  expect(ended).toMatchObject({ status: 'succeeded', attempt: 2 });
});

test('a result that arrives after the cancel is kept: the cancel came too late', async () => {
  const stop = await serve('late', async (request) => {
    await untilCanceled(request);
    return result(request);
  });
  const id = await start('late');
  await runningOf(id);
  await predictions.cancel(id);
  const { ended, status } = await endOf(id);
  await stop();

  expect(status).toBe('COMPLETED');
  expect(ended.status).toBe('succeeded');
});

test.each(['acknowledged', 'failed'])('a cancel that is %s ends it as canceled', async (how) => {
  const stop = await serve(how, async (request) => {
    await untilCanceled(request);
    if (how === 'failed') throw failure(request, 'internal', false);
    throw new CancelledFailure('canceled', [report(request)]);
  });
  const id = await start(how);
  await runningOf(id);
  await predictions.cancel(id);
  const { ended, status } = await endOf(id);
  await stop();

  expect(status).toBe('CANCELLED'); // the SDK's spelling of Canceled
  expect(ended).toMatchObject({ status: 'canceled', attempt: 1 });
});

/** Heartbeats, which is how an activity learns of a cancel. */
async function untilCanceled(request: InferRequest): Promise<void> {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat({ report: report(request), partial: null }), 50);
  await context.cancelled.catch(() => {});
  clearInterval(beat);
}

/** Its queue_ttl has passed, and infer is scheduled again without it. */
async function scheduledAnew(id: string): Promise<void> {
  await until('infer to be scheduled again', async () => {
    const history = await client.workflow.getHandle(id).fetchHistory();
    const scheduled = history.events?.filter((event) => event.activityTaskScheduledEventAttributes);
    return (scheduled?.length ?? 0) >= 2 ? true : undefined;
  });
}

async function runningOf(id: string): Promise<void> {
  await until('the activity to run', async () => {
    const [pending] = (await engine.describe(id)).raw.pendingActivities ?? [];
    return pending?.heartbeatDetails ? true : undefined;
  });
}
