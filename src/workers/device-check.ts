import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../contract/failure.ts';
import { affineGraph } from '../model/onnx-writer.ts';
import { ProcessModelRuntime } from '../model/process-runtime.ts';
import { ModelRepository } from '../model/repository.ts';
import { ModelUnavailableError } from '../model/runtime.ts';
import type { Logger } from '../telemetry/logger.ts';
import { SetupError } from './run-worker.ts';

const CHECK_TIMEOUT_MS = 60_000; // a GPU's first use compiles its kernels

export interface DeviceCheckOptions {
  readonly device: string;
  readonly dataDir: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
}

/**
 * Runs a graph of two nodes on the device, in a model process as any other. Throws `SetupError`
 * when it cannot be used: one clear line at start instead of every model failing to load.
 */
export async function checkDevice(options: DeviceCheckOptions): Promise<void> {
  const { device, dataDir, environment, logger } = options;
  if (device === 'cpu') return;
  const folder = join(dataDir, 'device-check');
  await mkdir(join(folder, 'check', '1'), { recursive: true });
  await writeFile(join(folder, 'check', '1', 'model.onnx'), affineGraph());
  const repository = await ModelRepository.open([folder]);
  const runtime = new ProcessModelRuntime({
    versions: repository.all(),
    device,
    environment,
    logger: logger.child({}, { level: 'silent' }),
    maxPixels: 1,
    maxOutputBytes: 1024,
  });
  const x = { name: 'x', datatype: 'FP32', shape: [1, 1], data: [1] };
  try {
    await runtime.infer(
      { name: 'check', version: 1 },
      {
        input: { inputs: { json: [x] } },
        options: {},
        runTimeoutMs: CHECK_TIMEOUT_MS,
        signal: AbortSignal.timeout(CHECK_TIMEOUT_MS),
        onProgress: () => {},
      },
    );
  } catch (error) {
    const reason = messageOf(error);
    const advice =
      error instanceof ModelUnavailableError
        ? 'Install what it needs, or set BUZZER_DEVICE=cpu'
        : 'Set BUZZER_DEVICE=cpu to run without it';
    throw new SetupError(`BUZZER_DEVICE=${device} cannot be used: ${reason}. ${advice}`, {
      cause: error,
    });
  } finally {
    await runtime.close();
  }
}
