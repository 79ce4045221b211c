import { mkdtemp, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../support/conditions.ts';
import { burn, Service } from '../support/service.ts';

let service: Service;

beforeAll(async () => {
  // A folder whose socket path is far longer than the 107 bytes that a socket address holds.
  const deep = join(await mkdtemp(join(tmpdir(), 'buzzer-')), 'x'.repeat(150));
  service = await Service.start({ BUZZER_HEARTBEAT_TIMEOUT: '30s', BUZZER_DATA_DIR: deep });
});
afterAll(async () => await service.close());

const folder = () => join(service.environment['BUZZER_DATA_DIR'] ?? '', 'workers');

test('SIGTERM lets a running inference finish: nothing is retried', async () => {
  const { id } = await service.submit('burn', burn(3));
  await service.processing(id);
  await service.busyModelProcess();
  await service.inference.signal('SIGTERM');
  const left = await readdir(folder());
  const record = await service.ended(id);
  await service.inference.start();

  expect(service.inference.output).toContain('shutting down');
  expect(record).toMatchObject({ status: 'succeeded', attempt: 1 });
  expect(left).toEqual([]);
});

test('two live workers share a data folder without reporting each other', async () => {
  const sibling = await service.startSibling();
  const first = await service.submit('burn', burn(5));
  const second = await service.submit('burn', burn(5));
  const records = [await service.ended(first.id), await service.ended(second.id)];
  await sibling.signal('SIGTERM');

  for (const record of records) expect(record).toMatchObject({ status: 'succeeded', attempt: 1 });
});

test('a stopped worker is not reported as dead', async () => {
  const { id } = await service.submit('burn', burn(8));
  await service.processing(id);
  await service.busyModelProcess();
  await service.inference.signal('SIGSTOP');
  // A successor starts beside it. That it reports a third one, which is dead, shows that it looked.
  const sibling = await service.startSibling();
  const dead = await service.startSibling();
  await dead.signal('SIGKILL');
  await until('the dead one to be reported', async () => {
    const folders = await readdir(folder());
    return folders.length === 2 ? true : undefined;
  });
  await service.inference.signal('SIGCONT');
  const record = await service.ended(id);
  await sibling.signal('SIGTERM');

  expect(sibling.output).not.toContain('reported an attempt');
  expect(record).toMatchObject({ status: 'succeeded', attempt: 1 });
});

test('a killed worker in a deep folder is reported by its successor', async () => {
  const { id } = await service.submit('burn', burn(3));
  await service.processing(id);
  await service.busyModelProcess();
  await service.inference.signal('SIGKILL');
  await service.inference.start();

  expect(await service.ended(id)).toMatchObject({ status: 'succeeded', attempt: 2 });
  expect(service.inference.output).toContain('reported an attempt of a worker that died');
});
