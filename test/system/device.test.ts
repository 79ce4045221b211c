/* What can be tested of devices without one: a provider that does not load. */
import { readFileSync } from 'node:fs';
import { affine, modelProcesses, Service } from '../support/service.ts';

let service: Service;

beforeAll(async () => {
  service = await Service.start({ BUZZER_DEVICE: 'cuda:1', BUZZER_DEVICE_FALLBACK: 'cpu' });
});
afterAll(async () => await service.close());

test('the CPU stands in where it may: the log, the record, the model and the metrics say so', async () => {
  const { id } = await service.submit('affine', affine());
  const record = await service.ended(id);
  const [, url = ''] = /(http:[^"]*\/metrics)/.exec(service.inference.output) ?? [];
  const metrics = await (await fetch(url)).text();
  const model = (await service.model('affine')) as unknown as { workers: { device: string }[] };

  expect(service.inference.output).toContain('running on the CPU instead');
  expect(record).toMatchObject({ status: 'succeeded', metrics: { device: 'cpu' } });
  expect(model.workers[0]?.device).toBe('cpu');
  expect(metrics).toContain('buzzer_device_info{requested="cuda:1",device="cpu"} 1');
});

test('model processes see one GPU and none of our settings', () => {
  const [pid] = modelProcesses(service.inference.pid);
  const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');

  expect(environment).toContain('CUDA_VISIBLE_DEVICES=1');
  expect(environment.filter((entry) => /^(?:BUZZER|TEMPORAL)_/.test(entry))).toEqual([]);
});
