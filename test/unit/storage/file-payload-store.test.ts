import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FilePayloadStore } from '../../../src/storage/file-payload-store.ts';
import { PayloadNotFoundError, StorageError } from '../../../src/storage/payload-store.ts';
import { payloadStoreSuite } from './payload-store.suite.ts';

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
  const listed = await store.list('e');
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

test('files whose names are no keys are not listed', async () => {
  const store = await FilePayloadStore.open(folder);
  await store.put('a/mine', Buffer.from('1'), { mediaType: 'text/plain' });
  for (const name of ['with space', '.hidden', 'ü']) await writeFile(join(folder, 'a', name), '');
  expect(await store.list('a')).toEqual(['a/mine']);
});
