/* What happens in a batch of several, with real model processes. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { affineGraph, mlpGraph, randomWeights } from '../../../src/onnx/example-graphs.ts';
import type { ProcessModelRuntime } from '../../../src/runtime/process-runtime.ts';
import {
  type Inference,
  ModelCrashedError,
  ModelUnavailableError,
  OutOfMemoryError,
  RunTimeoutError,
} from '../../../src/runtime/runtime.ts';
import { until } from '../../support/conditions.ts';
import { hoardGraph } from '../../support/graphs.ts';
import { addModel, inferOn, openRuntime, outputOf, row } from '../../support/runtimes.ts';
import { modelProcesses } from '../../support/service.ts';

const BATCHING = { batching: { max_size: 4, max_delay_ms: 100 } };
const HOSTILE = { processFile: resolve('test/support/hostile-process.mjs') };
const [ANSWER, CRASH, ENDLESS, HOARD, SLOW, NOT_TAKEN] = [0, 1, 2, 3, 4, 5];

let folder: string;
let runtime: ProcessModelRuntime;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
});
afterEach(async () => {
  await runtime.close();
  expect(modelProcesses(process.pid)).toEqual([]); // nothing stays behind
  await rm(folder, { recursive: true });
});

/** Runs these together, and then each of those that failed alone, as the activity does. */
async function together(values: readonly number[], runTimeoutMs = 60_000) {
  const run = async (value: number, isAlone: boolean) =>
    await inferOn(runtime, 'hostile', row(value), { isAlone, runTimeoutMs });
  const first = await Promise.allSettled(values.map(async (value) => await run(value, false)));
  const second = await Promise.allSettled(values.map(async (value) => await run(value, true)));
  return { first: first.map(reasonOf), second: second.map(reasonOf) };
}

const reasonOf = (result: PromiseSettledResult<unknown>): unknown =>
  result.status === 'fulfilled' ? 'done' : result.reason;

test.each([
  ['crashes', CRASH, ModelCrashedError],
  ['never ends', ENDLESS, RunTimeoutError],
  ['takes memory without end', HOARD, OutOfMemoryError],
])(
  'when one of a batch %s, all are told that they were several; alone, the others succeed',
  async (_what, culprit, kind) => {
    const resources = { memory_mb: 300 };
    await addModel(folder, 'hostile', affineGraph(), { ...BATCHING, resources });
    await addModel(folder, 'bystander', affineGraph());
    runtime = await openRuntime([folder], HOSTILE);
    const bystanders = Array.from(
      { length: 10 },
      async () => await inferOn(runtime, 'bystander', row(ANSWER)),
    );
    const { first, second } = await together([ANSWER, culprit, ANSWER], 3000);

    for (const error of first) {
      expect(error).toBeInstanceOf(kind);
      expect(error).toMatchObject({ isShared: true });
    }
    expect(second[0]).toBe('done');
    expect(second[1]).toBeInstanceOf(kind);
    expect(second[1]).toMatchObject({ isShared: false });
    expect(second[2]).toBe('done');
    await expect(Promise.all(bystanders)).resolves.toHaveLength(10);
  },
);

test('a process that does not take its input is replaced, and nothing counts against the input', async () => {
  await addModel(folder, 'hostile', affineGraph(), { timeouts: { run_s: 60 } });
  runtime = await openRuntime([folder], { ...HOSTILE, takePatienceMs: 300 });
  const first = inferOn(runtime, 'hostile', row(NOT_TAKEN));

  await expect(first).rejects.toThrow('did not take its input, and was replaced');
  await expect(first).rejects.toBeInstanceOf(ModelUnavailableError);
  await expect(inferOn(runtime, 'hostile', row(ANSWER))).resolves.toBeDefined();
});

test('one that is canceled in a batch is dropped; the process goes on for the others', async () => {
  await addModel(folder, 'hostile', affineGraph(), BATCHING);
  runtime = await openRuntime([folder], HOSTILE);
  const stop = new AbortController();
  const canceled = inferOn(runtime, 'hostile', row(SLOW), { signal: stop.signal });
  const other = inferOn(runtime, 'hostile', row(SLOW));
  await until('both to run', () => runtime.states()[0]?.running === 2 || undefined);
  const [pid] = [...new Set(runningPids())];
  stop.abort(new Error('canceled'));

  await expect(canceled).rejects.toThrow('canceled');
  expect(await other).toMatchObject({ batchSize: 2 });
  expect(outputOf(await other)).toEqual({ process: pid });
});

test('when all of a batch are canceled, its process is killed', async () => {
  await addModel(folder, 'hostile', affineGraph(), BATCHING);
  runtime = await openRuntime([folder], HOSTILE);
  const stops = [new AbortController(), new AbortController()];
  const runs = stops.map(
    async ({ signal }) => await inferOn(runtime, 'hostile', row(ENDLESS), { signal }),
  );
  await until('both to run', () => runtime.states()[0]?.running === 2 || undefined);
  const [pid = 0] = runningPids();
  for (const stop of stops) stop.abort(new Error('canceled'));

  await Promise.all(runs.map(async (run) => await expect(run).rejects.toThrow('canceled')));
  expect(runningPids()).not.toContain(pid);
});

/** The hostile processes have a file of their own. */
const runningPids = (): number[] => modelProcesses(process.pid, 'hostile-process.mjs');

test('one that is canceled while it waits for mates is never run', async () => {
  await addModel(folder, 'hostile', affineGraph(), {
    batching: { max_size: 2, max_delay_ms: 500 },
  });
  runtime = await openRuntime([folder], HOSTILE);
  await inferOn(runtime, 'hostile', row(ANSWER), { isAlone: true });
  const stop = new AbortController();
  const waiting = inferOn(runtime, 'hostile', row(CRASH), { signal: stop.signal });
  expect(runtime.states()[0]).toMatchObject({ waiting: 1, running: 0 });
  stop.abort(new Error('canceled'));

  await expect(waiting).rejects.toThrow('canceled');
  expect(await inferOn(runtime, 'hostile', row(ANSWER))).toMatchObject({ batchSize: 1 });
});

test('a process that is never ready makes the version unavailable, again and again', async () => {
  await addModel(folder, 'hostile', affineGraph(), { options: { never_ready: true } });
  await addModel(folder, 'bystander', affineGraph());
  runtime = await openRuntime([folder], { ...HOSTILE, loadTimeoutMs: 300 });
  const doomed = inferOn(runtime, 'hostile', row(ANSWER));

  await expect(inferOn(runtime, 'bystander', row(ANSWER))).resolves.toBeDefined();
  await expect(doomed).rejects.toThrow(ModelUnavailableError);
  await expect(doomed).rejects.toThrow('it was not ready after 0.3 s');
  const { state, reason } = runtime.states().find(({ model }) => model === 'hostile') ?? {};
  expect({ state, reason }).toEqual({
    state: 'unavailable',
    reason: 'it was not ready after 0.3 s',
  });
});

test('a device without the memory is out_of_memory, and its process lives on', async () => {
  const resources = { memory_mb: 4096 };
  await addModel(folder, 'hoard', hoardGraph(), { resources });
  runtime = await openRuntime([folder]);
  const terabytes = 100_000_000;
  const run = async (megabytes: number) =>
    await inferOn(runtime, 'hoard', {
      inputs: [
        { name: 'x', datatype: 'FP32', shape: [1, 1], data: [1] },
        { name: 'amount', datatype: 'INT64', shape: [1, 1], data: [megabytes] },
      ],
    });
  await run(1);
  const pids = modelProcesses(process.pid);

  await expect(run(terabytes)).rejects.toThrow(OutOfMemoryError);
  await expect(run(1)).resolves.toBeDefined();
  expect(modelProcesses(process.pid)).toEqual(pids);
});

test('a process that always takes much is not replaced for it', async () => {
  const resources = { memory_mb: 400 };
  await addModel(folder, 'hoard', hoardGraph(), { resources });
  const causes: string[] = [];
  runtime = await openRuntime([folder], {
    observer: { batchDone: () => {}, processReplaced: (_model, cause) => void causes.push(cause) },
  });
  for (let run = 0; run < 5; run++) {
    await inferOn(runtime, 'hoard', {
      inputs: [
        { name: 'x', datatype: 'FP32', shape: [1, 1], data: [1] },
        { name: 'amount', datatype: 'INT64', shape: [1, 1], data: [220] },
      ],
    });
  }

  expect(runtime.states()[0]?.rss_bytes).toBeGreaterThan(0.7 * 400 * 1024 ** 2);
  expect(causes).toEqual([]);
});

test('a process is replaced after its runs, and nothing is lost', async () => {
  const resources = { max_runs: 3 };
  await addModel(folder, 'hostile', affineGraph(), { resources });
  const causes: string[] = [];
  runtime = await openRuntime([folder], {
    ...HOSTILE,
    observer: { batchDone: () => {}, processReplaced: (_model, cause) => void causes.push(cause) },
  });
  const pids: unknown[] = [];
  for (let run = 0; run < 7; run++) {
    pids.push(outputOf(await inferOn(runtime, 'hostile', row(ANSWER))));
  }

  expect(new Set(pids.map((pid) => JSON.stringify(pid))).size).toBe(3);
  expect(causes).toEqual(['max_runs', 'max_runs']);
});

test('a thousand requests at once to a cold model all get their own answer', async () => {
  await addModel(folder, 'affine', affineGraph(), {
    batching: { max_size: 32, max_delay_ms: 0 },
  });
  runtime = await openRuntime([folder]);
  const values = Array.from({ length: 1000 }, (_, index) => index);
  const answers = await Promise.all(
    values.map(async (value) => outputOf(await inferOn(runtime, 'affine', row(value)))),
  );

  expect(answers).toEqual(
    values.map((value) => ({
      outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 1], data: [2 * value + 1] }],
    })),
  );
});

test('results do not depend on batch mates: mlp, alone and among others', async () => {
  const sizes = [2, 3, 17, 64];
  for (const size of sizes) {
    const batching = { max_size: size, max_delay_ms: 10_000 }; // it leaves when it is full
    await addModel(folder, `mlp${size}`, mlpGraph(), { batching });
  }
  runtime = await openRuntime([folder]);
  const inputs = Array.from({ length: 127 }, (_, index) =>
    row(...randomWeights(784, 1, index + 1)),
  );
  const [mine = row(), ...others] = inputs;
  const alone = probabilitiesOf(await inferOn(runtime, 'mlp2', mine, { isAlone: true }));
  for (const size of sizes) {
    const mates = [others.slice(0, size - 1), others.slice(63, 62 + size)];
    const results: number[][] = [];
    for (const batch of mates) {
      const run = [mine, ...batch].map(
        async (input) => await inferOn(runtime, `mlp${size}`, input),
      );
      const [first] = await Promise.all(run);
      expect(first).toMatchObject({ batchSize: size });
      results.push(probabilitiesOf(first));
    }
    expect(results[0]).toEqual(results[1]); // whoever the mates are: bit for bit
    for (const [index, probability] of (results[0] ?? []).entries()) {
      // However many they are: a matrix product of one row sums in another order.
      expect(Math.abs(probability - (alone[index] ?? 0))).toBeLessThan(1e-6);
    }
  }
});

const probabilitiesOf = (inference: Inference | undefined): number[] => {
  if (inference === undefined) return [];
  return (outputOf(inference) as { outputs: { data: number[] }[] }).outputs[0]?.data ?? [];
};

test('what one of a batch is refused for does not fail the others', async () => {
  await addModel(folder, 'affine', affineGraph(), BATCHING);
  runtime = await openRuntime([folder], { maxOutputBytes: 75 });
  const small = inferOn(runtime, 'affine', row(1));
  const large = inferOn(runtime, 'affine', row(1.234567e30));

  await expect(small).resolves.toMatchObject({ batchSize: 2 });
  await expect(large).rejects.toThrow('BUZZER_MAX_OUTPUT');
});
