/* Runtimes with real model processes, for tests of the port. */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { affineGraph, burnGraph } from '../../src/onnx/example-graphs.ts';
import type { PoolOptions } from '../../src/runtime/model-pool.ts';
import { ProcessModelRuntime } from '../../src/runtime/process-runtime.ts';
import { ModelRepository } from '../../src/models/repository.ts';
import type { Inference, InferenceRequest } from '../../src/runtime/runtime.ts';
import { createLogger } from '../../src/telemetry/logger.ts';

/** Writes a version of a `tensor` model into a repository. */
export async function addModel(
  folder: string,
  name: string,
  graph: Uint8Array,
  manifest: object = {},
): Promise<void> {
  const path = join(folder, name, '1');
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'model.onnx'), graph);
  await writeFile(join(path, 'model.json'), JSON.stringify({ pipeline: 'tensor', ...manifest }));
}

/** A repository of the two models that tests of waiting need: `affine` at once, `burn` for a while. */
export async function burnModels(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await addModel(folder, 'affine', affineGraph());
  await addModel(folder, 'burn', burnGraph(), { timeouts: { run_s: 60 } });
  return folder;
}

/** A runtime that serves what is in the folders. */
export async function openRuntime(
  folders: readonly string[],
  options: Partial<PoolOptions> = {},
): Promise<ProcessModelRuntime> {
  const runtime = new ProcessModelRuntime({
    device: 'cpu',
    maxPixels: 1_000_000,
    maxOutputBytes: 1024 ** 2,
    environment: { PATH: process.env['PATH'] },
    logger: createLogger('test', 'silent'),
    processFile: resolve('dist/runtime/process.js'),
    ...options,
  });
  for (const version of (await ModelRepository.open(folders)).all()) await runtime.serve(version);
  return runtime;
}

/** Runs a model's version 1 on JSON. */
export const inferOn = async (
  runtime: ProcessModelRuntime,
  name: string,
  input: object,
  more: Partial<InferenceRequest> = {},
): Promise<Inference> =>
  await runtime.infer(
    { name, version: 1 },
    {
      input: Object.fromEntries(
        Object.entries(input).map(([field, value]) => [field, { kind: 'value', value } as const]),
      ),
      options: {},
      priority: 3,
      isAlone: false,
      runTimeoutMs: 60_000,
      signal: new AbortController().signal,
      before: null,
      onProgress: () => {},
      onPart: () => {},
      ...more,
    },
  );

export const outputOf = ({ output }: Inference): unknown =>
  JSON.parse(Buffer.from(output).toString());

/** One FP32 tensor `x` [1, n]. */
export const row = (...values: readonly number[]) => ({
  inputs: [{ name: 'x', datatype: 'FP32', shape: [1, values.length], data: values }],
});
