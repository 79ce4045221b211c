/* The ModelRuntime port by itself: what batching, replicas and the process boundary do. */
import { resolve } from 'node:path';
import { type PackedTensor, packTensors } from '../src/contract/packed-tensors.ts';
import { ProcessModelRuntime } from '../src/runtime/process-runtime.ts';
import { ModelRepository, type ModelVersion } from '../src/models/repository.ts';
import type { Inference, InferenceRequest } from '../src/runtime/runtime.ts';
import { createLogger } from '../src/telemetry/logger.ts';

/** A runtime on the CPU whose model processes are the compiled ones. */
export function openRuntime(): ProcessModelRuntime {
  return new ProcessModelRuntime({
    device: 'cpu',
    maxPixels: 100_000_000,
    maxOutputBytes: 1024 ** 3,
    environment: { PATH: process.env['PATH'] },
    logger: createLogger('bench', 'error'),
    processFile: resolve('dist/runtime/process.js'),
  });
}

/** A version of the repository with some of its manifest changed. */
export async function versionOf(
  name: string,
  change: { batching?: object; resources?: object; folder?: string } = {},
): Promise<ModelVersion> {
  const folders = [resolve('models'), resolve('examples/models')];
  const { folder } = change;
  const repository = await ModelRepository.open(folder === undefined ? folders : [folder]);
  const version = repository.find(name, null);
  if (version === undefined) throw new Error(`there is no model ${name}`);
  const { manifest } = version;
  const batching = { ...manifest.batching, ...change.batching };
  const resources = { ...manifest.resources, ...change.resources };
  return { ...version, manifest: { ...manifest, batching, resources } };
}

/** An inference of a model with nothing special about it. */
export async function infer(
  runtime: ProcessModelRuntime,
  { ref }: ModelVersion,
  input: InferenceRequest['input'],
  options: InferenceRequest['options'] = {},
  onPart: InferenceRequest['onPart'] = () => {},
): Promise<Inference> {
  return await runtime.infer(ref, {
    input,
    options,
    priority: 3,
    isAlone: false,
    runTimeoutMs: 600_000,
    signal: new AbortController().signal,
    before: null,
    onProgress: () => {},
    onPart,
  });
}

/** FP32 tensors as the port takes them: bytes. */
export const packed = (name: string, shape: readonly number[], values: Float32Array) => {
  const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const tensor: PackedTensor = { name, datatype: 'FP32', shape, data };
  return { inputs: { kind: 'media' as const, bytes: packTensors([tensor]) } };
};
