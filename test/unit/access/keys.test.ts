/* Keys, their file, and the command that changes it. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keyOf, newApiKey } from '../../../src/access/api-key.ts';
import { changeKeys, readKeys } from '../../../src/access/keys-file.ts';
import { KnownKeys } from '../../../src/access/known-keys.ts';

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-keys-'));
  file = join(folder, 'keys.json');
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const settings = { tenant: 'acme', scopes: ['read' as const], description: '', expires_at: null };

test('a token is known by its secret, and by nothing less', () => {
  const { key, token } = newApiKey(settings);
  const keys = new Map([[key.id, key]]);
  const other = newApiKey(settings).token;

  expect(token).toMatch(/^bz_[0-9a-f]{16}_[\w-]{43}$/);
  expect(keyOf(token, keys)).toBe(key);
  expect(keyOf(`${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`, keys)).toBeNull();
  expect(keyOf(`bz_${key.id}_${other.slice(-43)}`, keys)).toBeNull();
  for (const wrong of ['', 'bz_', `bz_${key.id}_`, other, `${token}x`]) {
    expect(keyOf(wrong, keys)).toBeNull();
  }
  expect(JSON.stringify(key)).not.toContain(token.slice(-43));
});

test('a change is whole or not at all; two at once do not lose each other', async () => {
  const [one, two] = [newApiKey(settings).key, newApiKey(settings).key];
  await changeKeys(file, () => [one]);
  const failing = changeKeys(file, () => {
    throw new Error('changed my mind');
  });
  await expect(failing).rejects.toThrow('changed my mind');
  expect(await readKeys(file)).toEqual([one]);
  const both = await Promise.allSettled([
    changeKeys(file, (keys) => [...keys, two]),
    changeKeys(file, (keys) => [...keys, newApiKey(settings).key]),
  ]);
  const done = both.filter(({ status }) => status === 'fulfilled').length;
  expect(await readKeys(file)).toHaveLength(1 + done);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
});

test('a pipe is no keys file, and keeps nobody waiting', async () => {
  execFileSync('mkfifo', [file]);
  await expect(readKeys(file)).rejects.toThrow('is not a file');
});

test.each([
  ['no JSON', '{'],
  ['no keys', '{}'],
  ['a key of nobody', JSON.stringify({ keys: [{ ...newApiKey(settings).key, tenant: 'A B' }] })],
  [
    'an unknown scope',
    JSON.stringify({ keys: [{ ...newApiKey(settings).key, scopes: ['root'] }] }),
  ],
])('a file with %s is refused, and shows nothing of itself', async (_what, text) => {
  await writeFile(file, text);
  await expect(readKeys(file)).rejects.toMatchObject({ name: 'KeysFileError' });
  const hash = /[0-9a-f]{64}/.exec(text)?.[0];
  if (hash !== undefined) {
    await expect(readKeys(file)).rejects.not.toMatchObject({
      message: expect.stringContaining(hash) as string,
    });
  }
});

describe('npm run keys', () => {
  const run = async (...args: readonly string[]) =>
    await new Promise<{ code: number; out: string; err: string }>((resolve) => {
      const env = { PATH: process.env['PATH'], BUZZER_KEYS_FILE: file };
      const all = ['--import', 'tsx', 'src/cli/keys.ts', ...args];
      execFile(process.execPath, all, { env }, (error, out, err) =>
        resolve({ code: error === null ? 0 : 1, out, err }),
      );
    });

  test('creates, lists and revokes; the secret is shown once and kept nowhere', async () => {
    const made = await run(
      'create',
      '--tenant',
      'acme',
      '--scopes',
      'read,predict',
      '--expires',
      '90d',
    );
    const token = made.out.trim();
    const [, id = ''] = token.split('_');
    expect([made.code, token]).toEqual([0, expect.stringMatching(/^bz_/)]);
    const [key] = await readKeys(file);
    expect(key).toMatchObject({ id, tenant: 'acme', scopes: ['predict', 'read'] });
    expect(await readFile(file, 'utf8')).not.toContain(token.slice(-43));

    const listed = await run('list');
    expect(listed.out).toContain(`${id}  acme  predict,read  expires`);
    expect(listed.out).not.toContain(token.slice(-43));
    expect(await run('revoke', id)).toMatchObject({ code: 0 });
    expect(await readKeys(file)).toEqual([]);
    expect(await run('revoke', id)).toMatchObject({ code: 1 });
  }, 60_000);

  test.each([
    [['create'], '--tenant'],
    [['create', '--tenant', 'A B'], '--tenant'],
    [['create', '--tenant', 'a', '--scopes', 'root'], '--scopes'],
    [['create', '--tenant', 'a', '--expires', 'soon'], '--expires'],
    [['create', '--tenant', 'a', '--colour', 'red'], 'colour'],
    [['destroy'], 'destroy'],
  ])(
    '%j is refused with what is wrong',
    async (args, what) => {
      const { code, err } = await run(...args);
      expect([code, err]).toEqual([1, expect.stringContaining(what)]);
    },
    30_000,
  );
});

test('a file that breaks is read once, and the keys of before stay until it changes again', async () => {
  const { key: one, token } = newApiKey(settings);
  await changeKeys(file, () => [one]);
  const lines: string[] = [];
  const logger = { error: (_: unknown, line: string) => lines.push(line), info: () => {} };
  const known = await KnownKeys.open(file, logger as never);
  await writeFile(file, '{');
  for (let asked = 0; asked < 5; asked++) expect(await known.find('bz_nobody_x')).toBeNull();
  const found = await known.find(token);
  const { key: two, token: second } = newApiKey(settings);
  await rm(file);
  expect(await known.find(second)).toBeNull();
  await changeKeys(file, () => [one, two]);

  expect(found).toEqual(one);
  expect(lines).toHaveLength(2); // it broke, and it was gone
  expect(await known.find(second)).toEqual(two);
});
