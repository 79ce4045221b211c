import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findTombstone, leaveTombstone } from '../../../src/retention/tombstones.ts';
import { FilePayloadStore } from '../../../src/storage/file-payload-store.ts';
import { PayloadNotFoundError } from '../../../src/storage/payload-store.ts';
import { RememberingPayloadStore } from '../../../src/storage/remembering-payload-store.ts';
import { until } from '../../support/conditions.ts';
import { keysOf } from '../../support/payloads.ts';
import { payloadStoreSuite } from './payload-store.suite.ts';

const text = { mediaType: 'text/plain' };
const FRESH_MS = 300;

/** A store that counts how often it is asked. */
async function counting() {
  const files = await FilePayloadStore.open(await mkdtemp(join(tmpdir(), 'buzzer-store-')));
  const asked = { open: 0, list: 0 };
  const store = new RememberingPayloadStore(
    {
      put: async (...given) => await files.put(...given),
      create: async (...given) => await files.create(...given),
      open: async (key, piece) => {
        asked.open += 1;
        return await files.open(key, piece);
      },
      list: (...given) => {
        asked.list += 1;
        return files.list(...given);
      },
      entries: (folder) => files.entries(folder),
      removeHalfWritten: async (beforeMs) => await files.removeHalfWritten(beforeMs),
      prefetch: async () => {},
      pathOf: (key) => files.pathOf(key),
      presign: async () => await Promise.resolve(null),
      delete: async (key) => await files.delete(key),
      measure: async (key) => await files.measure(key),
      freeBytes: async () => await files.freeBytes(),
      check: async () => await files.check(),
    },
    FRESH_MS,
  );
  return { files, store, asked };
}

payloadStoreSuite(async () => (await counting()).store);

test('what is read all the time is read once in a while', async () => {
  const { store, asked } = await counting();
  await store.put('workers/a.json', Buffer.from('1'), text);
  for (let times = 0; times < 10; times += 1) {
    expect(await keysOf(store, 'workers')).toEqual(['workers/a.json']);
    await store.open('workers/a.json');
    await expect(store.open('tombstones/x')).rejects.toThrow(PayloadNotFoundError);
  }

  expect(asked).toEqual({ open: 2, list: 1 });
});

test('the payloads of predictions are never remembered', async () => {
  const { store, asked } = await counting();
  await store.put('predictions/t/p/output', Buffer.from('1'), text);
  await (await store.open('predictions/t/p/output')).toArray();
  await (await store.open('predictions/t/p/output')).toArray();

  expect(asked.open).toBe(2);
});

test('what this process writes is seen at once, what another writes a moment later', async () => {
  const { files, store } = await counting();
  const tombstone = { id: 'pred_1', tenant: 't' };
  expect(await findTombstone('pred_1', store)).toBeNull();
  await leaveTombstone(tombstone, 'deleted', store);
  expect(await findTombstone('pred_1', store)).toMatchObject(tombstone);

  expect(await findTombstone('pred_2', store)).toBeNull();
  await leaveTombstone({ ...tombstone, id: 'pred_2' }, 'deleted', files);
  await until(
    'the other tombstone',
    async () => (await findTombstone('pred_2', store)) ?? undefined,
  );
});

test('a generation that somebody else has created is found at once', async () => {
  const { files, store } = await counting();
  await store.create('tenants/t/secrets/1', Buffer.from('1'), text);
  expect(await keysOf(store, 'tenants/t/secrets')).toHaveLength(1);
  await files.create('tenants/t/secrets/2', Buffer.from('2'), text);

  expect(await store.create('tenants/t/secrets/2', Buffer.from('3'), text)).toBe(false);
  expect(await keysOf(store, 'tenants/t/secrets')).toHaveLength(2);
});

test('a page of tombstones is looked for at once', async () => {
  const { store, asked } = await counting();
  await leaveTombstone({ id: 'pred_50', tenant: 't' }, 'deleted', store);
  const ids = Array.from({ length: 90 }, (_, index) => `pred_${index + 10}`);
  await store.prefetch(ids.map((id) => `tombstones/${id}`));
  const found = await Promise.all(ids.map(async (id) => await findTombstone(id, store)));

  expect(found.filter((each) => each !== null)).toHaveLength(1);
  expect(asked).toEqual({ open: 1, list: 1 });
});
