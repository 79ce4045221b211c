/* What workers say of themselves, and what else lies there. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WorkerStates } from '../../../src/records/worker-states.ts';
import { FilePayloadStore } from '../../../src/storage/file-payload-store.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-states-'));
  await mkdir(join(folder, 'workers'));
});
afterEach(async () => await rm(folder, { recursive: true }));

const model = {
  model: 'affine',
  version: 1,
  state: 'ready',
  reason: null,
  device: 'cpu',
  replicas: 1,
  slots: 2,
  running: 0,
  waiting: 0,
  rss_bytes: null,
  inference_ms: null,
};
const write = async (name: string, ageMs: number) => {
  const updated_at = new Date(Date.now() - ageMs).toISOString();
  const state = { worker: name, updated_at, models: [model] };
  await writeFile(join(folder, 'workers', `${name}.json`), JSON.stringify(state));
};

test('a thousand states of workers that are gone hide no living one, and are removed', async () => {
  for (let index = 0; index < 1000; index++) await write(`a${index}`, 86_400_000);
  await write('z', 0);
  await write('stale', 60_000);
  const states = new WorkerStates(
    await FilePayloadStore.open(folder),
    createLogger('test', 'silent'),
  );
  let found = await states.read();
  for (let reads = 0; reads < 4; reads++) found = await states.read();

  expect([...found.values()].flat().map(({ worker }) => worker)).toEqual(['z']);
  expect((await readdir(join(folder, 'workers'))).toSorted()).toEqual(['stale.json', 'z.json']);
});

test('a state of a time to come is of no living worker', async () => {
  await write('ahead', -1_500_000);
  await write('far-ahead', -86_400_000);
  const store = await FilePayloadStore.open(folder);
  const found = await new WorkerStates(store, createLogger('test', 'silent')).read();

  expect(found.size).toBe(0);
  expect(await readdir(join(folder, 'workers'))).toEqual(['ahead.json']);
});

test('of very large states of strangers only a few are read', async () => {
  const updated_at = new Date().toISOString();
  const models = Array.from({ length: 500 }, (_, version) => ({ ...model, version: version + 1 }));
  const large = JSON.stringify({ worker: 'stranger', updated_at, models });
  for (let index = 0; index < 300; index++) {
    await writeFile(join(folder, 'workers', `stranger-${index}.json`), large);
  }
  const store = await FilePayloadStore.open(folder);
  const opening = jest.spyOn(store, 'open');
  await new WorkerStates(store, createLogger('test', 'silent')).read();

  expect(opening.mock.calls.length).toBeLessThan(1 + (17 * 1024 ** 2) / large.length);
});
