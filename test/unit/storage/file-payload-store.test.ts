import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FilePayloadStore } from '../../../src/storage/file-payload-store.ts';
import { findTombstone, leaveTombstone } from '../../../src/retention/tombstones.ts';
import { PayloadNotFoundError, StorageError } from '../../../src/storage/payload-store.ts';
import { payloadStoreSuite } from './payload-store.suite.ts';
import { keysOf } from '../../support/payloads.ts';
import { Turns } from '../../support/turns.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-store-'));
});
afterEach(async () => await rm(folder, { recursive: true }));

payloadStoreSuite(async () => await FilePayloadStore.open(folder));

test('what a crashed process left half written is hidden, and removed a day later', async () => {
  const store = await FilePayloadStore.open(folder);
  const left = join(folder, '.incoming', 'left');
  await writeFile(left, 'half');
  await store.put('e/whole', Buffer.from('whole'), { mediaType: 'text/plain' });
  const listed = await keysOf(store, 'e');
  const before = await readdir(join(folder, '.incoming'));
  const longAgo = new Date(Date.now() - 25 * 3_600_000);
  await utimes(left, longAgo, longAgo);
  await FilePayloadStore.open(folder);

  expect(listed).toEqual(['e/whole']);
  expect(before).toEqual(['left']);
  expect(await readdir(join(folder, '.incoming'))).toEqual([]);
});

test('a folder that cannot be made is a StorageError', async () => {
  await writeFile(join(folder, 'file'), '');

  await expect(FilePayloadStore.open(join(folder, 'file', 'store'))).rejects.toThrow(StorageError);
});

test('a pipe or a folder in the place of a payload keeps nobody waiting', async () => {
  const store = await FilePayloadStore.open(folder);
  await mkdir(join(folder, 'a', 'folder'), { recursive: true });
  execFileSync('mkfifo', [join(folder, 'a', 'pipe')]);
  for (const key of ['a/folder', 'a/pipe']) {
    await expect(store.open(key)).rejects.toThrow(PayloadNotFoundError);
  }
});

test('an old folder among what is half written is removed, and is no reason not to start', async () => {
  await FilePayloadStore.open(folder);
  const left = join(folder, '.incoming', 'folder');
  await mkdir(join(left, 'more'), { recursive: true });
  const longAgo = new Date(Date.now() - 25 * 3_600_000);
  await utimes(left, longAgo, longAgo);
  await FilePayloadStore.open(folder);

  expect(await readdir(join(folder, '.incoming'))).toEqual([]);
});

test('what lies in the place of a tombstone is none, and is replaced by one', async () => {
  const store = await FilePayloadStore.open(folder);
  const lies = join(folder, 'tombstones');
  await mkdir(join(lies, 'pred_folder', 'more'), { recursive: true });
  await symlink('pred_loop', join(lies, 'pred_loop'));
  for (const id of ['pred_folder', 'pred_loop']) {
    expect(await findTombstone(id, store)).toBeNull();
    await leaveTombstone({ id, tenant: 'a' }, 'deleted', store);
    expect(await findTombstone(id, store)).toMatchObject({ id, tenant: 'a' });
  }
});

test('a link in the place of a folder leads to a stranger’s files, which stay', async () => {
  const store = await FilePayloadStore.open(folder);
  const elsewhere = await mkdtemp(join(tmpdir(), 'buzzer-elsewhere-'));
  await writeFile(join(elsewhere, 'important.txt'), 'x');
  await symlink(elsewhere, join(folder, 'workers'));
  expect(await keysOf(store, 'workers')).toEqual([]);
  await store.delete('workers/important.txt');
  expect(await readdir(elsewhere)).toEqual(['important.txt']);
  await store.delete('workers'); // the link itself is in our folder
  expect(await readdir(elsewhere)).toEqual(['important.txt']);
  await rm(elsewhere, { recursive: true });
});

test('a file where a folder belongs: nothing is there, nothing can be written', async () => {
  const store = await FilePayloadStore.open(folder);
  await writeFile(join(folder, 'tombstones'), '');
  const leaving = leaveTombstone({ id: 'pred_1', tenant: 'a' }, 'deleted', store);

  await expect(leaving).rejects.toThrow(StorageError);
  expect(await findTombstone('pred_1', store)).toBeNull();
});

test('files whose names are no keys are not listed', async () => {
  const store = await FilePayloadStore.open(folder);
  await store.put('a/mine', Buffer.from('1'), { mediaType: 'text/plain' });
  for (const name of ['with space', '.hidden', 'ü']) await writeFile(join(folder, 'a', name), '');
  expect(await keysOf(store, 'a')).toEqual(['a/mine']);
});

test('very many files that a stranger has put there are listed in many turns', async () => {
  const store = await FilePayloadStore.open(folder);
  await mkdir(join(folder, 'a'));
  for (let n = 0; n < 20_000; n++) writeFileSync(join(folder, 'a', `file-${n}`), '');
  const turns = new Turns();
  const keysIn = new Map<number, number>(); // by the turn in which they came
  for await (const _ of store.list('a')) {
    keysIn.set(turns.count, (keysIn.get(turns.count) ?? 0) + 1);
  }
  turns.stop();

  expect([...keysIn.values()].reduce((sum, keys) => sum + keys, 0)).toBe(20_000);
  expect(Math.max(...keysIn.values())).toBeLessThan(2000);
});
