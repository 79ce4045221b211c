import { fileURLToPath } from 'node:url';
import { inferOnce } from '../runtime/one-inference.ts';
import { ModelRepository } from '../models/repository.ts';

const ITERATIONS = 10_000;

/** How many iterations of the `burn` model this machine does in a second, on one core. */
export async function measureBurnRate(processFile?: string): Promise<number> {
  const models = fileURLToPath(new URL('../../examples/models', import.meta.url));
  const version = (await ModelRepository.open([models])).find('burn', null);
  if (version === undefined) throw new Error(`there is no model burn in ${models}`);
  const { inferenceMs } = await inferOnce({
    version,
    inputs: [
      { name: 'x', datatype: 'FP32', shape: [1, 512], data: Array<number>(512).fill(0) },
      { name: 'iterations', datatype: 'INT64', shape: [], data: [ITERATIONS] },
    ],
    device: 'cpu',
    environment: {},
    timeoutMs: 60_000,
    ...(processFile === undefined ? {} : { processFile }),
  });
  return Math.round((ITERATIONS / inferenceMs) * 1000);
}
