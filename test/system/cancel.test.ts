import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { burn, isAlive, Service } from '../support/service.ts';

let service: Service;

beforeAll(async () => {
  service = await Service.start({ BUZZER_HEARTBEAT_TIMEOUT: '3s' }, ['api', 'orchestration']);
});
afterAll(async () => await service.close());

const CANCELED = { status: 'canceled', output: null, error: null };

test('without a worker a prediction waits and says why; canceled, it ends at once', async () => {
  const { id } = await service.submit('burn', burn(1));
  const queued = await service.readUntil(id, 'to say why it waits', ({ queue }) => {
    return queue?.reason === 'no_worker';
  });
  const response = await service.cancel(id);

  expect(queued.status).toBe('queued');
  expect(response.status).toBe(202);
  expect(await service.ended(id)).toMatchObject({ ...CANCELED, attempt: 0, started_at: null });
});

test('it completes when a worker appears', async () => {
  const { id } = await service.submit('burn', burn(0.5));
  await service.readUntil(id, 'to wait', ({ queue }) => queue?.reason === 'no_worker');
  await service.inference.start();

  expect(await service.ended(id)).toMatchObject({ status: 'succeeded', attempt: 1 });
});

test('canceled while it runs, it ends when the device is free', async () => {
  const { id } = await service.submit('burn', burn(60));
  await service.processing(id);
  const pid = await service.busyModelProcess();
  const canceledAt = Date.now();
  const response = await service.cancel(id);
  const record = await service.ended(id);

  expect(((await response.json()) as Prediction).status).toBe('canceling');
  expect(record).toMatchObject({ ...CANCELED, attempt: 1 });
  expect(Date.now() - canceledAt).toBeLessThan(4 * 1500);
  expect(isAlive(pid)).toBe(false);
  const next = await service.submit('burn', burn(0.2));
  expect(await service.ended(next.id)).toMatchObject({ status: 'succeeded' });
});

test('canceled while it waits for the device, it never runs', async () => {
  const running = await service.submit('burn', burn(60));
  await service.processing(running.id);
  await service.busyModelProcess();
  const waiting = await service.submit('burn', burn(60));
  await service.processing(waiting.id); // taken by the worker, ahead of its turn
  await service.cancel(waiting.id);
  expect(await service.ended(waiting.id)).toMatchObject(CANCELED);
  expect((await service.read(running.id)).status).toBe('processing');
  await service.cancel(running.id);
  expect(await service.ended(running.id)).toMatchObject(CANCELED);
});

test('canceling twice or after the end changes nothing', async () => {
  const { id } = await service.submit('burn', burn(0.1));
  await service.ended(id);
  const response = await service.cancel(id);

  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ status: 'succeeded' });
});

test('canceled between two attempts, there is no third', async () => {
  const { id } = await service.submit('burn', burn(60));
  await service.processing(id);
  process.kill(await service.busyModelProcess(), 'SIGKILL');
  await service.inference.signal('SIGTERM'); // nobody takes the retry
  await service.readUntil(id, 'to wait for its retry', ({ queue }) => queue !== null);
  await service.cancel(id);
  const record = await service.ended(id);
  await service.inference.start();

  expect(record).toMatchObject(CANCELED);
});

test('canceled while its worker is dead, it ends with the heartbeat timeout', async () => {
  const { id } = await service.submit('burn', burn(60));
  await service.processing(id);
  const pid = await service.busyModelProcess();
  await service.inference.signal('SIGKILL');
  await service.cancel(id);
  const record = await service.ended(id);
  await until('the model process to be gone', () => (isAlive(pid) ? undefined : true));
  await service.inference.start();

  expect(record).toMatchObject(CANCELED);
});
