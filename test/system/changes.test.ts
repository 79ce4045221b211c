/* Another priority, queue_ttl or deadline for a prediction that waits. */
import { rm } from 'node:fs/promises';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { burnModels } from '../support/runtimes.ts';
import { affine, burn, Service } from '../support/service.ts';

let service: Service;
let models: string;

beforeAll(async () => {
  models = await burnModels();
  service = await Service.start({ BUZZER_MODELS: models, BUZZER_HEARTBEAT_TIMEOUT: '2s' });
});
afterAll(async () => {
  await service.close();
  await rm(models, { recursive: true });
});

async function submit(more: object = {}): Promise<Prediction> {
  const response = await service.post({ model: 'affine', input: affine(), ...more });
  return (await response.json()) as Prediction;
}

interface Answer {
  readonly status: number;
  readonly body: Prediction & { code?: string; detail?: string; errors?: { pointer: string }[] };
}

async function change(id: string, changes: object): Promise<Answer> {
  const response = await fetch(`${service.url}/v1/predictions/${id}`, {
    method: 'PATCH',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(changes),
  });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

/** What the CLI says of a workflow. */
interface Description {
  readonly pendingActivities?: readonly {
    readonly priority: { readonly priorityKey: number };
    readonly activityOptions: { readonly scheduleToCloseTimeout: string };
  }[];
}

/** Changes it once it is in its model's queue. */
async function changeWaiting(id: string, changes: object): Promise<Prediction> {
  return await until(`${id} to be changed`, async () => {
    const { status, body } = await change(id, changes);
    if (status !== 200 && status !== 409) throw new Error(`${status}: ${JSON.stringify(body)}`);
    return status === 200 ? body : undefined;
  });
}

const events = async (id: string): Promise<string[]> => {
  const response = await fetch(`${service.url}/v1/predictions/${id}/history`);
  return ((await response.json()) as { data: { event: string }[] }).data.map(({ event }) => event);
};

const passed = async (time: string) =>
  await new Promise((done) => {
    setTimeout(done, Date.parse(time) - Date.now() + 500);
  });

test('one that becomes urgent overtakes those before it', async () => {
  const blocker = await submit({ model: 'burn', input: burn(4) });
  await service.processing(blocker.id);
  const ids: string[] = [];
  for (let count = 0; count < 5; count++) {
    ids.push((await submit({ model: 'burn', input: burn(0.3), priority: 4 })).id);
  }
  const last = ids[4] ?? '';
  const changed = await changeWaiting(last, { priority: 1 });
  const told = await events(last);
  const ended = await Promise.all(ids.map(async (id) => await service.ended(id)));
  const order = ended
    .toSorted((a, b) => Date.parse(a.completed_at ?? '') - Date.parse(b.completed_at ?? ''))
    .map(({ id }) => id);

  expect(changed).toMatchObject({ status: 'queued', priority: 1 });
  expect(told).toContain('terms_changed');
  expect(ended.every(({ status }) => status === 'succeeded')).toBe(true);
  expect(ended[4]).toMatchObject({ priority: 1, attempt: 1 });
  expect(order.indexOf(last)).toBeLessThanOrEqual(1); // the worker takes one ahead of its turn
});

describe('with no worker', () => {
  beforeAll(async () => await service.inference.signal('SIGTERM'));
  afterAll(async () => await service.inference.start());

  test('a deadline that is moved on is the one that counts, also for what may run', async () => {
    const before = await submit({ deadline: '4s' });
    const changed = await changeWaiting(before.id, { deadline: '10m' });
    await passed(before.deadline_at);
    const waiting = await service.read(before.id);
    await service.inference.start();
    const ended = await service.ended(before.id);
    await service.inference.signal('SIGTERM');

    expect(changed).toMatchObject({ deadline: '10m', queue_ttl: '10m' }); // they were the same
    expect(Date.parse(changed.deadline_at) - Date.parse(before.created_at)).toBe(600_000);
    expect(waiting).toMatchObject({ status: 'queued', deadline_at: changed.deadline_at });
    expect(ended).toMatchObject({ status: 'succeeded', attempt: 1 });
  });

  test('a deadline and a queue_ttl that are cut are over then', async () => {
    const [late, unstarted] = [await submit(), await submit()];
    await changeWaiting(late.id, { deadline: '4s' });
    await changeWaiting(unstarted.id, { queue_ttl: '4s' });

    expect(await service.ended(late.id)).toMatchObject({
      status: 'aborted',
      error: { code: 'deadline_exceeded' },
    });
    expect(await service.ended(unstarted.id)).toMatchObject({
      status: 'aborted',
      queue_ttl: '4s',
      error: { code: 'queue_timeout' },
    });
  });

  test('of two changes at once none is lost', async () => {
    const { id } = await submit();
    await changeWaiting(id, { priority: 2 });
    const answers = await Promise.all([
      change(id, { priority: 5 }),
      change(id, { deadline: '2h' }),
      change(id, { queue_ttl: '30m' }),
    ]);

    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(await service.read(id)).toMatchObject({
      priority: 5,
      deadline: '2h',
      queue_ttl: '30m',
    });
    await service.cancel(id);
  });

  test('a reset keeps what was changed, in the record and in the queue', async () => {
    const { id } = await submit();
    const before = await changeWaiting(id, { priority: 1, deadline: '2h' });
    const reset = ['workflow', 'reset', '--workflow-id', id, '--type=FirstWorkflowTask'];
    await service.temporalCli(...reset, '--reason=a test');
    const options = await until('the reset run to have the terms', async () => {
      const text = await service.temporalCli('workflow', 'describe', '-w', id, '-o', 'json');
      const [pending] = (JSON.parse(text) as Description).pendingActivities ?? [];
      return pending?.priority.priorityKey === 1 ? pending.activityOptions : undefined;
    });

    expect(await service.read(id)).toMatchObject({
      status: 'queued',
      priority: 1,
      deadline_at: before.deadline_at,
    });
    expect(Number.parseFloat(options.scheduleToCloseTimeout)).toBeLessThan(7200);
    await service.cancel(id);
  });

  test('who follows it is told', async () => {
    const { id } = await submit();
    const answer = await fetch(`${service.url}/v1/predictions/${id}/events`);
    await changeWaiting(id, { priority: 1 });
    let told = '';
    for await (const chunk of answer.body ?? []) {
      told += Buffer.from(chunk).toString();
      if (told.includes('"priority":1')) break;
    }

    expect(told.match(/^event: prediction$/gm)).toHaveLength(2);
    await service.cancel(id);
  });

  test('the hundred and first change is refused', async () => {
    const { id } = await submit();
    await changeWaiting(id, { priority: 1 });
    for (let round = 0; round < 33; round++) {
      await Promise.all([2, 3, 4].map(async (priority) => await change(id, { priority })));
    }
    const { status, body } = await change(id, { priority: 1 });
    await service.cancel(id);

    expect([status, body.code]).toEqual([409, 'not_changeable']);
    expect(body.detail).toContain('100 times');
  });

  test('a cancel of what was changed is a cancel', async () => {
    const { id } = await submit();
    await changeWaiting(id, { priority: 1 });
    await service.cancel(id);

    expect(await service.ended(id)).toMatchObject({ status: 'canceled', attempt: 0, priority: 1 });
  });

  test.each([
    [{}, ''],
    [{ priority: 6 }, '/priority'],
    [{ deadline: 'soon' }, '/deadline'],
    [{ deadline: '31d' }, '/deadline'],
    [{ deadline: '1ms' }, '/deadline'],
    [{ queue_ttl: '0s' }, '/queue_ttl'],
    [{ run_timeout: '1s' }, '/run_timeout'],
  ])('%j is refused at %j', async (changes, pointer) => {
    const { id } = await submit();
    const { status, body } = await change(id, changes);
    await service.cancel(id);

    expect([status, body.errors?.[0]?.pointer]).toEqual([422, pointer]);
  });

  test('without the orchestration worker it says so in time', async () => {
    const { id } = await submit();
    await changeWaiting(id, { priority: 2 });
    await service.orchestration.signal('SIGKILL');
    const startMs = Date.now();
    const { status, body } = await change(id, { priority: 1 });
    const tookMs = Date.now() - startMs;
    await service.orchestration.start();

    expect([status, body.code]).toEqual([503, 'engine_unavailable']);
    expect(tookMs).toBeLessThan(20_000); // four times what is promised
    expect(await changeWaiting(id, { priority: 4 })).toMatchObject({ priority: 4 });
    await service.cancel(id);
  });
});

test('one that waits for its retry has the new deadline, and the run its whole time', async () => {
  const before = await submit({ model: 'burn', input: burn(4), deadline: '10s' });
  await service.readUntil(before.id, 'to report', (record) => record.started_at !== null);
  await service.inference.signal('SIGKILL');
  const retrying = await service.readUntil(before.id, 'to wait', (record) => {
    return record.status === 'queued' && record.attempt > 0;
  });
  const changed = await changeWaiting(before.id, { deadline: '10m' });
  await passed(before.deadline_at);
  const waiting = await service.read(before.id);
  await service.inference.start();

  expect(retrying).toMatchObject({ attempt: 1, deadline_at: before.deadline_at });
  expect(waiting).toMatchObject({ status: 'queued', deadline_at: changed.deadline_at });
  expect(await service.ended(before.id)).toMatchObject({ status: 'succeeded', deadline: '10m' });
});

test('what does not wait is left alone', async () => {
  const running = await submit({ model: 'burn', input: burn(2) });
  await service.processing(running.id);
  const whileRunning = await change(running.id, { priority: 1 });
  const ended = await service.ended(running.id);
  const scheduled = await submit({ start_after: '1h' });
  const missing = `pred_${'0'.repeat(26)}`;

  expect(whileRunning).toMatchObject({ status: 409, body: { code: 'not_changeable' } });
  expect(ended).toMatchObject({ status: 'succeeded', priority: 3 });
  expect(await change(running.id, { priority: 1 })).toMatchObject({
    status: 409,
    body: { code: 'not_changeable', detail: expect.stringContaining('succeeded') },
  });
  expect(await change(scheduled.id, { priority: 1 })).toMatchObject({
    status: 409,
    body: { code: 'not_changeable', detail: expect.stringContaining('waits for its start_after') },
  });
  expect((await change(missing, { priority: 1 })).status).toBe(404);
});
