import { fileURLToPath } from 'node:url';
import { ProcessModelRuntime } from '../model/process-runtime.ts';
import { ModelRepository } from '../model/repository.ts';
import { createLogger } from '../telemetry/logger.ts';

const ITERATIONS = 10_000;

/** How many iterations of the `burn` model this machine does in a second, on one core. */
export async function measureBurnRate(processFile?: string): Promise<number> {
  const models = fileURLToPath(new URL('../../examples/models', import.meta.url));
  const runtime = new ProcessModelRuntime({
    versions: (await ModelRepository.open([models])).all(),
    device: 'cpu',
    maxPixels: 1,
    maxOutputBytes: 1024 ** 2,
    environment: {},
    logger: createLogger('burn-rate', 'silent'),
    ...(processFile === undefined ? {} : { processFile }),
  });
  const x = { name: 'x', datatype: 'FP32', shape: [1, 512], data: Array(512).fill(0) as number[] };
  const iterations = { name: 'iterations', datatype: 'INT64', shape: [], data: [ITERATIONS] };
  try {
    const { inferenceMs } = await runtime.infer(
      { name: 'burn', version: 1 },
      {
        input: { inputs: { json: [x, iterations] } },
        options: {},
        runTimeoutMs: 60_000,
        signal: AbortSignal.timeout(60_000),
        onProgress: () => {},
      },
    );
    return Math.round((ITERATIONS / inferenceMs) * 1000);
  } finally {
    await runtime.close();
  }
}
