/*
 * Each process killed with -9 while a run of a few seconds is on its way. The bounds are four times
 * the ones that bench/ measures.
 */
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { affine, burn, isAlive, modelProcesses, Service } from '../support/service.ts';
import type { TemporalServer } from '../support/temporal.ts';

let service: Service<TemporalServer>;

beforeAll(async () => {
  service = await Service.startAlone({ BUZZER_HEARTBEAT_TIMEOUT: '4s' });
});
afterAll(async () => await service.close());

/** Ended once: one completed activity in the history, whatever happened before it. */
async function completions(id: string): Promise<number> {
  const shown = await service.temporalCli('workflow', 'show', '-w', id, '-o', 'json');
  return shown.split('EVENT_TYPE_ACTIVITY_TASK_COMPLETED').length - 1;
}

async function startedAgain(id: string, since: number): Promise<Prediction> {
  const again = (record: Prediction) =>
    record.attempt >= 2 && record.started_at !== null && Date.parse(record.started_at) > since;
  return await service.readUntil(id, 'to start again', again);
}

test('a killed model process costs an attempt, and the next one runs at once', async () => {
  const { id } = await service.submit('burn', burn(4));
  await service.processing(id);
  const pid = await service.busyModelProcess();
  const killedAt = Date.now();
  process.kill(pid, 'SIGKILL');
  const again = await startedAgain(id, killedAt);
  const record = await service.ended(id);

  expect(Date.parse(again.started_at ?? '') - killedAt).toBeLessThan(4 * 1500);
  expect(record).toMatchObject({ status: 'succeeded', attempt: 2 });
  expect(await completions(id)).toBe(1);
});

test('a killed inference worker is reported by its successor, whatever the heartbeat timeout', async () => {
  const slow = await Service.start(
    { BUZZER_HEARTBEAT_TIMEOUT: '60s' },
    undefined,
    service.temporal,
  );
  try {
    // Both services share one orchestration queue; their data folders tell their workers apart.
    const { id } = await slow.submit('burn', burn(4));
    await until('a worker to run it', async () => {
      const { attempt } = await slow.read(id);
      return attempt > 0 ? true : undefined;
    });
    const owner = modelProcesses(slow.inference.pid).length > 0 ? slow : service;
    const pid = await owner.busyModelProcess();
    await owner.inference.signal('SIGKILL');
    await until('the model process to die with its worker', () =>
      isAlive(pid) ? undefined : true,
    );
    const restartedAt = Date.now();
    await owner.inference.start();
    const again = await startedAgain(id, restartedAt);
    const record = await slow.ended(id);

    expect(Date.parse(again.started_at ?? '') - restartedAt).toBeLessThan(4 * 2000);
    expect(record).toMatchObject({ status: 'succeeded', attempt: 2 });
    expect(await completions(id)).toBe(1);
  } finally {
    await slow.close();
  }
});

test('a killed orchestration worker delays the end and costs no attempt', async () => {
  const { id } = await service.submit('burn', burn(3));
  await service.processing(id);
  await service.orchestration.signal('SIGKILL');
  const whileDown = await service.read(id);
  await service.orchestration.start();
  const restartedAt = Date.now();
  const record = await service.ended(id);

  expect(whileDown.status).toBe('processing');
  expect(record).toMatchObject({ status: 'succeeded', attempt: 1 });
  expect(Date.now() - restartedAt).toBeLessThan(4 * 7000 + 3000);
  expect(await completions(id)).toBe(1);
});

test('a killed API loses nothing: the record is there when it is back', async () => {
  const { id } = await service.submit('burn', burn(2));
  await service.api.signal('SIGKILL');
  await expect(fetch(`${service.url}/v1/predictions/${id}`)).rejects.toThrow('fetch failed');
  await service.api.start();

  expect(await service.ended(id)).toMatchObject({ status: 'succeeded', attempt: 1 });
});

test('a killed Temporal server is back, and so is what ran meanwhile', async () => {
  const { id } = await service.submit('burn', burn(3));
  await service.processing(id);
  await service.temporal.kill();
  await service.temporal.start();
  const record = await service.ended(id);

  expect(record).toMatchObject({ status: 'succeeded', attempt: 1 });
  expect(await completions(id)).toBe(1);
});

test('with the Temporal server down a POST answers 503 within 5 s, and all recovers', async () => {
  await service.temporal.kill();
  const startedAt = Date.now();
  const response = await service.post({ model: 'affine', input: affine() });
  const tookMs = Date.now() - startedAt;
  const problem = (await response.json()) as { code: string; prediction_id: string };
  const ready = await fetch(`${service.url}/readyz`);
  await service.temporal.start();

  expect(response.status).toBe(503);
  expect(response.headers.get('Retry-After')).toBe('1');
  expect(problem.code).toBe('engine_unavailable');
  expect(problem.prediction_id).toMatch(/^pred_/);
  expect(tookMs).toBeLessThan(5000);
  expect(ready.status).toBe(503);
  const { id } = await until('the service to accept again', async () =>
    service.submit('affine', affine()).catch(() => undefined),
  );
  expect(await service.ended(id)).toMatchObject({ status: 'succeeded' });
});

test('a host that is lost for good is noticed by its missing heartbeats', async () => {
  // Another host: the payload store is shared, the folder of attempts in flight is not.
  const elsewhere = await mkdtemp(join(tmpdir(), 'buzzer-elsewhere-'));
  await symlink(join(service.dataDir, 'payloads'), join(elsewhere, 'payloads'));
  const { id } = await service.submit('burn', burn(4));
  await service.processing(id);
  await service.busyModelProcess();
  const sibling = await service.startSibling({ BUZZER_DATA_DIR: elsewhere });
  await service.inference.signal('SIGKILL');
  const killedAt = Date.now();
  const again = await startedAgain(id, killedAt);
  const record = await service.ended(id);
  await sibling.signal('SIGTERM');
  await service.inference.start();
  await rm(elsewhere, { recursive: true });

  expect(Date.parse(again.started_at ?? '') - killedAt).toBeLessThan(4 * (4000 + 3000));
  expect(record).toMatchObject({ status: 'succeeded', attempt: 2 });
});

test('an input that kills every model process is given up as poison', async () => {
  const { id } = await service.submit('burn', burn(30));
  for (const attempt of [1, 2, 3]) {
    await service.readUntil(id, `to run the attempt ${attempt}`, (record) => {
      return record.status === 'processing' && record.attempt === attempt;
    });
    process.kill(await service.busyModelProcess(), 'SIGKILL');
  }

  expect(await service.ended(id)).toMatchObject({
    status: 'failed',
    error: { code: 'poison_input', retryable: false, attempt: 3 },
  });
});
