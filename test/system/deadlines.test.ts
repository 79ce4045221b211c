/* Every shape that a passed deadline takes, with nobody there to see it pass. */
import { rm } from 'node:fs/promises';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { burnModels } from '../support/runtimes.ts';
import { affine, burn, Service } from '../support/service.ts';

/** Four times what is promised: settled within 5 s of the orchestration worker's return. */
const PATIENCE_MS = 20_000;

let service: Service;
let models: string;

beforeAll(async () => {
  models = await burnModels();
  service = await Service.start({ BUZZER_MODELS: models });
});
afterAll(async () => {
  await service.close();
  await rm(models, { recursive: true });
});

/** The first run of a process takes longer. */
async function warmUp(): Promise<void> {
  const { id } = await submit({ model: 'burn', input: burn(0.01) });
  await service.ended(id);
}

async function submit(body: object): Promise<Prediction> {
  const answer = await service.post({ model: 'affine', input: affine(), ...body });
  const record = (await answer.json()) as Prediction;
  expect([answer.status, record]).toEqual([202, expect.anything()]);
  return record;
}

const passed = async (record: Prediction, more = 0) =>
  await new Promise((done) => {
    setTimeout(done, Date.parse(record.deadline_at) - Date.now() + 300 + more);
  });

/** Its workflow has had its turn: it is in its model's queue. */
async function waits({ id }: Prediction): Promise<void> {
  await until(`${id} to wait`, async () => {
    const answer = await fetch(`${service.url}/v1/predictions/${id}/history`);
    return (await answer.text()).includes('"queued"') ? true : undefined;
  });
}

/** Brings the orchestration worker back; answers with the settled record. */
async function settled({ id }: Prediction): Promise<Prediction> {
  await service.orchestration.start();
  return await service.ended(id, PATIENCE_MS);
}

const aborted = (code: string) => ({
  status: 'aborted',
  attempt: 0,
  started_at: null,
  error: { code, attempt: 0 },
});

test('the deadline passes before the workflow has had its first turn', async () => {
  await service.orchestration.signal('SIGKILL');
  const record = await submit({ deadline: '1s' });
  await passed(record);

  expect(await service.read(record.id)).toMatchObject({ status: 'queued' });
  expect(await settled(record)).toMatchObject(aborted('deadline_exceeded'));
});

test('the deadline passes in the queue of a model that nobody serves', async () => {
  await service.inference.signal('SIGKILL');
  const record = await submit({ deadline: '1s' });
  await passed(record);

  expect(await service.ended(record.id, PATIENCE_MS)).toMatchObject(aborted('deadline_exceeded'));
});

test('the same with the orchestration worker gone meanwhile', async () => {
  const record = await submit({ deadline: '3s' });
  await waits(record);
  await service.orchestration.signal('SIGKILL');
  await passed(record);

  expect(await settled(record)).toMatchObject(aborted('deadline_exceeded'));
});

test('the queue_ttl passes with the orchestration worker gone', async () => {
  const record = await submit({ queue_ttl: '3s', deadline: '1h' });
  await waits(record);
  await service.orchestration.signal('SIGKILL');
  await new Promise((done) => {
    setTimeout(done, 3300);
  });

  expect(await settled(record)).toMatchObject(aborted('queue_timeout'));
  await service.inference.start();
});

test('the deadline passes during a run, with the orchestration worker gone', async () => {
  await warmUp();
  const record = await submit({ model: 'burn', input: burn(30), deadline: '4s' });
  await service.processing(record.id);
  await service.orchestration.signal('SIGKILL');
  await passed(record);

  expect(await settled(record)).toMatchObject({
    status: 'failed',
    attempt: 1,
    error: { code: 'deadline_exceeded', attempt: 1 },
  });
});

test('the deadline passes while the worker that had started it is gone', async () => {
  await warmUp();
  const record = await submit({ model: 'burn', input: burn(30), deadline: '8s' });
  await service.processing(record.id);
  await service.inference.signal('SIGKILL');
  await passed(record);

  expect(await service.ended(record.id, PATIENCE_MS)).toMatchObject({
    status: 'failed',
    error: { code: 'deadline_exceeded' },
  });
  await service.inference.start();
});

test('one that was to start later has its whole deadline from then', async () => {
  const record = await submit({ start_after: '2s', deadline: '30s', input: affine(2) });
  expect(await service.ended(record.id)).toMatchObject({ status: 'succeeded' });
});

test('a canceled one whose deadline passes meanwhile is canceled', async () => {
  await service.inference.signal('SIGKILL');
  const record = await submit({ deadline: '4s' });
  await waits(record);
  await service.orchestration.signal('SIGKILL');
  await service.cancel(record.id);
  await passed(record);

  expect(await settled(record)).toMatchObject({ status: 'canceled' });
  await service.inference.start();
});
