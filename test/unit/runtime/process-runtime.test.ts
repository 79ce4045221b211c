/* The runtime with real model processes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { affineGraph, burnGraph } from '../../../src/onnx/example-graphs.ts';
import type { ProcessModelRuntime } from '../../../src/runtime/process-runtime.ts';
import {
  InferenceFailedError,
  type InferenceRequest,
  InvalidInputError,
  ModelCrashedError,
  ModelUnavailableError,
  OutputTooLargeError,
  RunTimeoutError,
} from '../../../src/runtime/runtime.ts';
import { until } from '../../support/conditions.ts';
import { addModel, inferOn, openRuntime, outputOf } from '../../support/runtimes.ts';
import { affine, burn, modelProcesses } from '../../support/service.ts';

let folder: string;
let runtime: ProcessModelRuntime;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await addModel(folder, 'affine', affineGraph());
  await addModel(folder, 'burn', burnGraph());
});
afterEach(async () => {
  await runtime.close();
  expect(modelProcesses(process.pid)).toEqual([]); // nothing stays behind
  await rm(folder, { recursive: true });
});

const open = async (folders = [folder], maxOutputBytes = 1024 ** 2): Promise<void> => {
  runtime = await openRuntime(folders, { maxOutputBytes });
};
const infer = async (name: string, input: object, more: Partial<InferenceRequest> = {}) =>
  await inferOn(runtime, name, input, more);

test('a model is loaded by its first request', async () => {
  await open();
  const before = runtime.states().find(({ model }) => model === 'affine');
  const inference = await infer('affine', affine(20));
  const after = runtime.states().find(({ model }) => model === 'affine');

  expect(before).toMatchObject({ state: 'idle', slots: 2 });
  expect(after).toMatchObject({ state: 'ready', running: 0 });
  expect(outputOf(inference)).toEqual({
    outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 1], data: [41] }],
  });
  expect(inference).toMatchObject({ batchSize: 1, device: 'cpu' });
});

test('inferences wait their turn, one at a time', async () => {
  await open();
  const values = [1, 2, 3, 4, 5, 6, 7, 8];
  const outputs = await Promise.all(
    values.map(async (value) => await infer('affine', affine(value))),
  );

  expect(outputs.map((output) => outputOf(output))).toEqual(
    values.map((value) => ({
      outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 1], data: [2 * value + 1] }],
    })),
  );
});

test('the death of a process fails exactly what it ran, and the next inference finds a new one', async () => {
  await open();
  const doomed = infer('burn', burn(30));
  const waiting = infer('burn', burn(0.1));
  const [pid] = await until('it to run', () =>
    runtime.states().some(({ running }) => running === 1) ? modelProcesses(process.pid) : undefined,
  );
  process.kill(pid ?? 0, 'SIGKILL');

  await expect(doomed).rejects.toThrow(ModelCrashedError);
  await expect(doomed).rejects.toThrow('burn@1 ended by SIGKILL during the run');
  await expect(waiting).resolves.toMatchObject({ device: 'cpu' });
});

test('a run over its time is killed, and the next one finds a new process', async () => {
  await open();
  const startedAt = Date.now();

  await expect(infer('burn', burn(30), { runTimeoutMs: 500 })).rejects.toThrow(RunTimeoutError);
  expect(Date.now() - startedAt).toBeLessThan(4 * 1500);
  await expect(infer('affine', affine())).resolves.toBeDefined();
  await expect(infer('burn', burn(0.1))).resolves.toBeDefined();
});

test('the run time does not count what was spent waiting', async () => {
  await open();
  const first = infer('burn', burn(1));
  const second = infer('burn', burn(0.1), { runTimeoutMs: 900 });

  await expect(Promise.all([first, second])).resolves.toHaveLength(2);
});

test('a stopped run is rejected when its process is gone', async () => {
  await open();
  const stop = new AbortController();
  const run = infer('burn', burn(30), { signal: stop.signal });
  const [pid] = await until('it to run', () =>
    runtime.states().some(({ running }) => running === 1) ? modelProcesses(process.pid) : undefined,
  );
  stop.abort(new Error('canceled'));

  await expect(run).rejects.toThrow('canceled');
  expect(modelProcesses(process.pid)).not.toContain(pid);
});

test('a stopped inference that still waits is dropped, and what runs goes on', async () => {
  await open();
  const stop = new AbortController();
  const running = infer('burn', burn(1));
  const waiting = infer('burn', burn(30), { signal: stop.signal });
  stop.abort(new Error('canceled'));

  await expect(waiting).rejects.toThrow('canceled');
  await expect(running).resolves.toBeDefined();
});

test('weights whose hash differs are refused, with both hashes', async () => {
  await addModel(folder, 'forged', affineGraph(), {
    files: { model: { path: 'model.onnx', sha256: '0'.repeat(64) } },
  });
  await open();

  await expect(infer('forged', affine())).rejects.toThrow(ModelUnavailableError);
  await expect(infer('forged', affine())).rejects.toThrow('but the manifest says 0000');
  expect(runtime.states().find(({ model }) => model === 'forged')).toMatchObject({
    state: 'unavailable',
  });
  await expect(infer('affine', affine())).resolves.toBeDefined(); // others are not disturbed
});

test('a version that could not be loaded recovers by itself once it is repaired', async () => {
  await open();
  const path = join(folder, 'affine', '1', 'model.onnx');
  await writeFile(path, 'no graph any more');
  await expect(infer('affine', affine())).rejects.toThrow(ModelUnavailableError);
  await writeFile(path, affineGraph());

  await until('it to be ready', () =>
    runtime.states().some(({ model, state }) => model === 'affine' && state === 'ready')
      ? true
      : undefined,
  );
  await expect(infer('affine', affine())).resolves.toBeDefined();
});

test('an output over the limit is refused, and so is what ONNX Runtime refuses', async () => {
  await open(undefined, 20);

  await expect(infer('affine', affine())).rejects.toThrow(OutputTooLargeError);
  await expect(
    infer('affine', { inputs: [{ name: 'z', datatype: 'FP32', shape: [1], data: [1] }] }),
  ).rejects.toThrow(InferenceFailedError);
});

test('options that a model does not take any more fail the request, not its process', async () => {
  await open();
  await infer('affine', affine(1));
  const [pid] = modelProcesses(process.pid);
  const refused = infer('affine', affine(1), { options: { gone: 1 } });

  await expect(refused).rejects.toThrow(
    'the model has changed since the request was accepted: options: gone is not known here',
  );
  expect(modelProcesses(process.pid)).toEqual([pid]);
});

test('an image that cannot be decoded is the fault of the input', async () => {
  await open([resolve('models')]);
  const image = { kind: 'media' as const, bytes: Buffer.from('no image') };

  await expect(infer('ocr', {}, { input: { image } })).rejects.toThrow(InvalidInputError);
});

test('progress is told while it runs', async () => {
  await open([resolve('models')]);
  const { readFile } = await import('node:fs/promises');
  const image = { kind: 'media' as const, bytes: await readFile('examples/page.png') };
  const told: number[] = [];
  const onProgress = ({ fraction }: { fraction: number }) => void told.push(fraction);
  await infer('ocr', {}, { input: { image }, onProgress });

  expect(told.length).toBeGreaterThanOrEqual(7);
  expect(told).toEqual(told.toSorted((a, b) => a - b));
});
