import { resolve } from 'node:path';
import { ModelRepository, type ModelVersion } from '../../../src/models/repository.ts';
import { cachedWorkflows, machineLimits, overBudget } from '../../../src/workers/budget.ts';

async function ocrWith(resources: object): Promise<ModelVersion> {
  const version = (await ModelRepository.open([resolve('models')])).find('ocr', 1);
  if (version === undefined) throw new Error('there is no model ocr');
  const { manifest } = version;
  return {
    ...version,
    manifest: { ...manifest, resources: { ...manifest.resources, ...resources } },
  };
}

test('what fits is not worth a word', async () => {
  const version = await ocrWith({ threads: 2, replicas: 2, memory_mb: 1000 });

  expect(overBudget([version], { cores: 4, memoryMb: 2000 })).toBeNull();
});

test('too many threads and too much memory are told in one line', async () => {
  const version = await ocrWith({ threads: 2, replicas: 2, memory_mb: 1000 });

  expect(overBudget([version], { cores: 2, memoryMb: 1500 })).toBe(
    'ocr@1 wants 2 replicas × 2 threads on 2 cores; all models together may take 2000 MB of the 1500 MB there are',
  );
});

test('the machine has cores and memory', () => {
  expect(machineLimits().cores).toBeGreaterThan(0);
  expect(machineLimits().memoryMb).toBeGreaterThan(100);
});

test.each([
  [256, 500],
  [40_000, 1500],
  [16_384, 1024],
  [1_000_000, 1500],
])('with %i MB an orchestration worker keeps %i workflows', (memoryMb, count) => {
  expect(cachedWorkflows({ memoryMb })).toBe(count);
});
