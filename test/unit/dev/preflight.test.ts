/* What others may have left in the place of our own files. */
import { execFileSync } from 'node:child_process';
import { lstat, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkDataFolder, lockDataFolder } from '../../../src/dev/preflight.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-data-'));
});
afterEach(async () => await rm(folder, { recursive: true }));

test.each(['workers', 'payloads'])('a pipe in the place of %s is named', async (name) => {
  execFileSync('mkfifo', [join(folder, name)]);
  await expect(checkDataFolder(folder)).rejects.toThrow(
    `${folder}/${name} is in the way: it must be a folder. Remove it.`,
  );
});

test('a folder in the place of a file of the database is named', async () => {
  await mkdir(join(folder, 'temporal.db-wal'));
  await expect(checkDataFolder(folder)).rejects.toThrow('it must be a file. Remove it.');
});

test('what is ours is for its owner alone afterwards', async () => {
  await mkdir(join(folder, 'workers'), { mode: 0o755 });
  await writeFile(join(folder, 'temporal.db'), '', { mode: 0o644 });
  await checkDataFolder(folder);

  expect((await lstat(join(folder, 'workers'))).mode & 0o777).toBe(0o700);
  expect((await lstat(join(folder, 'temporal.db'))).mode & 0o777).toBe(0o600);
});

test('a link in the place of the lock is not followed', async () => {
  const precious = join(folder, 'precious');
  await writeFile(precious, 'keep me');
  await symlink(precious, join(folder, 'launcher.pid'));

  await expect(lockDataFolder(folder)).rejects.toThrow('launcher.pid cannot be written');
  expect(await readFile(precious, 'utf8')).toBe('keep me');
});
