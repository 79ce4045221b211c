/* What the sweep of the store removes and what it leaves, with a clock of the test's own. */
import { mkdtemp, rm, utimes, writeFile, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DAY_MS } from '../../../src/contract/duration.ts';
import { MEMO_ACCEPTED, MEMO_ENDED } from '../../../src/contract/messages.ts';
import { Files } from '../../../src/files/files.ts';
import { type StoreCursor, FIRST_STORE, sweepStore } from '../../../src/retention/sweep-store.ts';
import { FilePayloadStore } from '../../../src/storage/file-payload-store.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import { newId } from '../../../src/submission/new-id.ts';
import { keysOf } from '../../support/payloads.ts';
import type { SweepDependencies } from '../../../src/retention/sweep-expired.ts';

let folder: string;
let store: FilePayloadStore;
/** What Temporal knows, by id: the memo of a workflow. */
const workflows = new Map<string, Record<string, unknown>>();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-sweep-'));
  store = await FilePayloadStore.open(folder);
  workflows.clear();
});
afterEach(async () => await rm(folder, { recursive: true }));

const OLD_MS = Date.now() - 3 * DAY_MS;

async function put(key: string, isOld = true): Promise<string> {
  await store.put(key, Buffer.from('x'), { mediaType: 'x/y' });
  if (isOld) await utimes(join(folder, key), new Date(OLD_MS), new Date(OLD_MS));
  return key;
}

const claim = (key: string) => ({ key, bytes: 1, sha256: 'aa', media_type: 'x/y' });

function dependencies(nowMs = Date.now()): SweepDependencies {
  const find = async (id: string) => await Promise.resolve(known(id));
  const known = (id: string) => {
    const memo = workflows.get(id);
    return memo === undefined ? null : { memo, status: { name: 'RUNNING' } };
  };
  const parts = {
    engine: { find },
    store,
    now: () => nowMs,
    logger: createLogger('test', 'silent'),
  };
  return parts as unknown as SweepDependencies;
}

async function sweep(nowMs?: number, from: StoreCursor = FIRST_STORE): Promise<number> {
  let removed = 0;
  for await (const cursor of sweepStore(from, dependencies(nowMs))) ({ removed } = cursor);
  return removed;
}

const all = async () => [
  ...(await keysOf(store, 'predictions')),
  ...(await keysOf(store, 'batches')),
  ...(await keysOf(store, 'files')),
];

test('what belongs to nothing goes when it is a day old; what runs stays, however old it is', async () => {
  const [orphan, young, running] = [newId('pred'), newId('pred'), newId('batch')];
  await put(`predictions/t/${orphan}/input/a`);
  await put(`predictions/t/${orphan}/output.x`);
  const kept = [await put(`predictions/t/${young}/input/a`, false)];
  kept.push(
    await put(`batches/t/${running}/input/items`),
    await put(`batches/t/${running}/chunks/c.1`),
  );
  workflows.set(running, { [MEMO_ACCEPTED]: { id: running, tenant: 't' } });

  expect(await sweep()).toBe(2);
  expect((await all()).toSorted()).toEqual(kept.toSorted());
  expect(await sweep()).toBe(0);
  expect(await sweep(Date.now() + 2 * DAY_MS)).toBe(1); // the young one has become old
});

test('of what has ended, that stays to which its record refers', async () => {
  const id = newId('pred');
  const kept = [
    await put(`predictions/t/${id}/input/a`),
    await put(`predictions/t/${id}/output.r.2`),
  ];
  await put(`predictions/t/${id}/output.r.1`);
  await put(`predictions/t/${id}/work.r.1.1`);
  const accepted = {
    id,
    tenant: 't',
    input: { a: { kind: 'claim', claim: claim(kept[0] ?? '') } },
  };
  const output = { kind: 'claim', claim: claim(kept[1] ?? '') };
  workflows.set(id, { [MEMO_ACCEPTED]: accepted, [MEMO_ENDED]: { status: 'succeeded', output } });

  expect(await sweep()).toBe(2);
  expect(await all()).toEqual(kept);
});

test('files go when they expire, or when their upload was never completed', async () => {
  const files = new Files(store);
  const make = async (ttlMs: number) =>
    await files.create(
      {
        id: newId('file'),
        tenant: 't',
        filename: 'f',
        purpose: null,
        media_type: 'x/y',
        expires_at: new Date(Date.now() + ttlMs).toISOString(),
      },
      (async function* () {
        yield await Promise.resolve(Buffer.from('bytes'));
      })(),
      { maxBytes: 100, sha256: null },
    );
  const [short, long] = [await make(1000), await make(30 * DAY_MS)];
  const begun = await files.begin({ ...long, id: newId('file') });
  await put(`files/t/${newId('file')}/content.aa`); // its process died before it was there
  await put(`files/t/${long.id}/content.bb`); // an upload that another one overtook

  expect(await sweep(Date.now() + 10_000)).toBe(4);
  expect(await keysOf(store, 'tombstones')).toEqual([`tombstones/${short.id}`]);
  await sweep(Date.now() + 2 * DAY_MS);
  expect(await keysOf(store, 'files/t')).toEqual([
    long.content?.key,
    `files/t/${long.id}/file.json`,
  ]);
  expect(await files.find(begun)).toBeNull();
});

test('what somebody else has put there stays, and a sweep that broke off goes on in the folder where it was', async () => {
  await mkdir(join(folder, 'predictions/t/not-an-id'), { recursive: true });
  await writeFile(join(folder, 'predictions/t/not-an-id/x'), 'x');
  await utimes(join(folder, 'predictions/t/not-an-id/x'), new Date(OLD_MS), new Date(OLD_MS));
  await put(`predictions/t/${newId('pred')}/input/a`);
  await put(`batches/t/${newId('batch')}/input/a`);

  expect(await sweep(undefined, { folder: 'batches', after: null, removed: 5 })).toBe(6);
  expect(await sweep()).toBe(1);
  expect(await all()).toEqual(['predictions/t/not-an-id/x']);
});
