/* What befalls one prediction of a dynamic batch, and what the others notice of it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Prediction } from '../../src/contract/prediction.ts';
import { affineGraph } from '../../src/onnx/example-graphs.ts';
import { hoardGraph, patientGraph } from '../support/graphs.ts';
import { addModel } from '../support/runtimes.ts';
import { affine, hoard, modelProcesses, patient, Service } from '../support/service.ts';

const BATCHING = { batching: { max_size: 3, max_delay_ms: 2000 } };

let service: Service;
let models: string;

beforeAll(async () => {
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await addModel(models, 'affine', affineGraph());
  await addModel(models, 'patient', patientGraph(), { ...BATCHING, timeouts: { run_s: 4 } });
  // For runs that are meant to go well, however busy the machine.
  await addModel(models, 'calm', patientGraph(), { ...BATCHING, timeouts: { run_s: 60 } });
  const resources = { memory_mb: 500 };
  await addModel(models, 'hoard', hoardGraph(), { ...BATCHING, resources });
  service = await Service.start({ BUZZER_MODELS: models });
});
afterAll(async () => {
  expect(service.inference.isRunning).toBe(true); // it has survived all of this
  const { pid } = service.inference;
  await service.close();
  expect(modelProcesses(pid)).toEqual([]); // nothing stays behind
  await rm(models, { recursive: true });
});

/** Accepts these at once, so that they run as one, and beside them some of another model. */
async function together(model: string, inputs: readonly object[]) {
  const accepted = await Promise.all(
    inputs.map(async (input) => await service.submit(model, input)),
  );
  const bystanders = await Promise.all(
    [1, 2, 3].map(async (value) => await service.submit('affine', affine(value))),
  );
  return { accepted, bystanders };
}

const ended = async (records: readonly Prediction[]) =>
  await Promise.all(records.map(async ({ id }) => await service.ended(id)));

const succeeded = (value: number, attempt: number) => ({
  status: 'succeeded',
  attempt,
  output: { outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 1], data: [value] }] },
});

test('requests that wait together run as one, and their records say so', async () => {
  const { accepted } = await together(
    'patient',
    [1, 2, 3].map((value) => patient(value, 0.1)),
  );
  const records = await ended(accepted);

  for (const [index, record] of records.entries()) {
    expect(record).toMatchObject({ ...succeeded(index + 1, 1), metrics: { batch_size: 3 } });
  }
});

test('an endless run in a batch fails alone; the others succeed', async () => {
  const inputs = [patient(1, 0.05), patient(2, 600), patient(3, 0.05)];
  const { accepted, bystanders } = await together('patient', inputs);
  const [first, culprit, third] = await ended(accepted);

  expect(first).toMatchObject({ ...succeeded(1, 2), metrics: { batch_size: 1 } });
  expect(third).toMatchObject({ ...succeeded(3, 2), metrics: { batch_size: 1 } });
  expect(culprit).toMatchObject({
    status: 'failed',
    attempt: 2,
    error: { code: 'run_timeout', retryable: false },
  });
  for (const record of await ended(bystanders)) expect(record).toMatchObject({ attempt: 1 });
});

test('a run in a batch that needs too much memory fails alone; the others succeed', async () => {
  const { accepted, bystanders } = await together('hoard', [
    hoard(1, 1),
    hoard(2, 4000),
    hoard(3, 1),
  ]);
  const [first, culprit, third] = await ended(accepted);

  expect(first).toMatchObject(succeeded(1, 2));
  expect(third).toMatchObject(succeeded(3, 2));
  expect(culprit).toMatchObject({
    status: 'failed',
    attempt: 2,
    error: { code: 'out_of_memory', message: expect.stringContaining('memory') },
  });
  for (const record of await ended(bystanders)) expect(record).toMatchObject({ attempt: 1 });
});

test('the death of a process costs all of its batch one attempt, and nobody else', async () => {
  const inputs = [1, 2, 3].map((value) => patient(value, 1.5));
  const { accepted, bystanders } = await together('calm', inputs);
  process.kill(await service.busyModelProcess(), 'SIGKILL');
  const records = await ended(accepted);

  for (const [index, record] of records.entries()) {
    expect(record).toMatchObject({ ...succeeded(index + 1, 2), metrics: { batch_size: 1 } });
  }
  for (const record of await ended(bystanders)) expect(record).toMatchObject({ attempt: 1 });
});

test('canceled while it waits for mates, it never runs', async () => {
  const { id } = await service.submit('calm', patient(1, 0.05));
  await service.processing(id);
  await service.cancel(id);

  expect(await service.ended(id)).toMatchObject({ status: 'canceled', output: null });
});

test('canceled in a batch, it ends at once; the others go on in the same process', async () => {
  const inputs = [1, 2, 3].map((value) => patient(value, 2));
  const { accepted } = await together('calm', inputs);
  const [first, ...others] = accepted as [Prediction, Prediction, Prediction];
  const pid = await service.busyModelProcess();
  await service.cancel(first.id);

  expect(await service.ended(first.id)).toMatchObject({ status: 'canceled' });
  for (const record of await ended(others)) {
    expect(record).toMatchObject({ status: 'succeeded', attempt: 1, metrics: { batch_size: 3 } });
  }
  expect(modelProcesses(service.inference.pid)).toContain(pid);
});
