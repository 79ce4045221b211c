import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../contract/failure.ts';
import { inferOnce } from '../runtime/one-inference.ts';
import { affineGraph } from '../onnx/example-graphs.ts';
import { ModelRepository } from '../models/repository.ts';
import { makeFolder } from '../disk/make-folder.ts';
import type { Logger } from '../telemetry/logger.ts';
import { SetupError } from './run-worker.ts';

const CHECK_TIMEOUT_MS = 60_000; // a GPU's first use compiles its kernels

export interface DeviceCheckOptions {
  readonly device: string;
  /** Whether the CPU may stand in for a device that cannot be used. */
  readonly allowsFallback: boolean;
  readonly dataDir: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
}

/**
 * Runs a graph of two nodes on the device, in a model process as any other, and returns the device
 * to use. Throws `SetupError` when it cannot be used and nothing may stand in for it: one clear
 * line at start instead of every model failing to load.
 */
export async function chooseDevice(options: DeviceCheckOptions): Promise<string> {
  const { device, allowsFallback, logger } = options;
  if (device === 'cpu') return device;
  try {
    await tryDevice(options);
    return device;
  } catch (error) {
    const reason = messageOf(error);
    if (allowsFallback) {
      logger.warn({ device, reason }, 'the device cannot be used: running on the CPU instead');
      return 'cpu';
    }
    const advice =
      'See docs/gpu.md for what it needs, set BUZZER_DEVICE=cpu to run without it, ' +
      'or BUZZER_DEVICE_FALLBACK=cpu to do so whenever it cannot be used';
    const message = `BUZZER_DEVICE=${device} cannot be used: ${reason}. ${advice}`;
    throw new SetupError(message, { cause: error });
  }
}

async function tryDevice({ device, dataDir, environment }: DeviceCheckOptions): Promise<void> {
  await makeFolder(dataDir);
  const folder = await mkdtemp(join(dataDir, 'device-check-')); // another worker may check its device at the same time
  try {
    await mkdir(join(folder, 'check', '1'), { recursive: true });
    await writeFile(join(folder, 'check', '1', 'model.onnx'), affineGraph());
    const version = (await ModelRepository.open([folder])).find('check', 1);
    if (version === undefined) throw new Error(`${folder} cannot be read`);
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 1], data: [1] }];
    await inferOnce({ version, inputs, device, environment, timeoutMs: CHECK_TIMEOUT_MS });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
