import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkFiles } from '../../../src/runtime/checked-files.ts';

const OF_RIGHT = '27042f4e6eca7d0b2a7ee4026df2ecfa51d3339e6d122aa099118ecd8563bad9';
let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-files-'));
  path = join(folder, 'weights');
  await writeFile(path, 'right');
});
afterEach(async () => await rm(folder, { recursive: true }));

const check = async (sha256: string, known: readonly string[] = []) =>
  await checkFiles({ files: { model: { path, sha256 } } }, { model: path }, new Set(known));

test('a file that has another hash is refused, with both', async () => {
  await expect(check('0'.repeat(64))).rejects.toThrow(
    `files.model: sha256 is ${OF_RIGHT}, but the manifest says ${'0'.repeat(64)}`,
  );
});

test('a file that was right and has not changed is not read again', async () => {
  const known = await check(OF_RIGHT);
  // An entry that no check has returned shows that the file is not read when its entry is known.
  const wrong = known.map((entry) => entry.replace(OF_RIGHT, '0'.repeat(64)));

  expect(await check(OF_RIGHT, known)).toEqual(known);
  expect(await check('0'.repeat(64), wrong)).toEqual(wrong);
});

test('a file that was changed is read again, also when its time and size are as before', async () => {
  const known = await check(OF_RIGHT);
  const past = new Date('2026-01-01');
  await utimes(path, past, past);
  const before = await check(OF_RIGHT, known);
  await writeFile(path, 'wrong');
  await utimes(path, past, past);

  await expect(check(OF_RIGHT, [...known, ...before])).rejects.toThrow('but the manifest says');
});
