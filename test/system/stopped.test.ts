/* A model process that its host has stopped: it neither works nor dies. */
import { affine, isAlive, modelProcesses, Service } from '../support/service.ts';

let service: Service;
beforeAll(async () => {
  service = await Service.start();
});
afterAll(async () => await service.close());

test('it is replaced, and nothing counts against the input', async () => {
  await service.ended((await service.submit('affine', affine())).id);
  const [pid = 0] = modelProcesses(service.inference.pid);
  process.kill(pid, 'SIGSTOP');
  const { id } = await service.submit('affine', affine());
  const record = await service.ended(id, 60_000);

  expect(record).toMatchObject({ status: 'succeeded', attempt: 2 });
  expect(isAlive(pid)).toBe(false);
});
