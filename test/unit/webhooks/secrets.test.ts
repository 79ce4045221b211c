/* What a tenant keeps in the store: encrypted, and changed by several at once. */
import { randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FilePayloadStore } from '../../../src/storage/file-payload-store.ts';
import type { PayloadStore } from '../../../src/storage/payload-store.ts';
import { WebhookEndpoints } from '../../../src/webhooks/endpoints.ts';
import { createSecretBox, openSecretBox, type SecretBox } from '../../../src/secrets/secret-box.ts';
import { SigningSecrets } from '../../../src/webhooks/secrets.ts';
import { TenantObject } from '../../../src/webhooks/tenant-object.ts';
import { keysOf } from '../../support/payloads.ts';

let folder: string;
let store: FilePayloadStore;
const keys = [randomBytes(32), randomBytes(32)] as const;
const box = createSecretBox([keys[0]]);
const objectsWith = (box: SecretBox) => ({ store, box });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-secrets-'));
  store = await FilePayloadStore.open(folder);
});
afterEach(async () => {
  jest.useRealTimers();
  await rm(folder, { recursive: true });
});

test('what is sealed opens with its key, at its place, unchanged, and only then', () => {
  const sealed = box.seal('the secret', 'tenants/a/x/1');
  const changed = Buffer.from(sealed.toString().replace(/"data":"./, '"data":"!'));
  const rotated = createSecretBox([keys[1], keys[0]]);

  expect(sealed.toString()).not.toContain('the secret');
  expect(box.open(sealed, 'tenants/a/x/1')).toBe('the secret');
  expect(rotated.open(sealed, 'tenants/a/x/1')).toBe('the secret');
  expect(() => box.open(rotated.seal('new', 'p'), 'p')).toThrow(/encrypted with key \w{12}/);
  expect(() => box.open(sealed, 'tenants/b/x/1')).toThrow('tenants/b/x/1 is damaged');
  expect(() => box.open(changed, 'tenants/a/x/1')).toThrow('is damaged');
  expect(() => box.open(Buffer.from('{}'), 'p')).toThrow('was encrypted with key undefined');
});

test('the key in the data folder is made once, for nobody else to read', async () => {
  const boxes = await Promise.all(
    Array.from({ length: 10 }, async () => await openSecretBox([], folder)),
  );
  const sealed = boxes[0]?.seal('text', 'p') ?? Buffer.alloc(0);
  const { mode } = await stat(join(folder, 'secret.key'));

  expect(boxes.map((each) => each.open(sealed, 'p'))).toEqual(boxes.map(() => 'text'));
  expect(mode & 0o777).toBe(0o600);
});

test('changes made by many at once are all there', async () => {
  const objects = Array.from(
    { length: 4 },
    () => new TenantObject<readonly number[]>(objectsWith(box), 'numbers'),
  );
  await Promise.all(
    Array.from({ length: 12 }, async (_, index) => {
      await objects[index % 4]?.update('a', (numbers) => [...(numbers ?? []), index]);
    }),
  );
  const numbers = (await objects[0]?.read('a')) ?? [];

  expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, i) => i));
  expect(await keysOf(store, 'tenants/a/numbers')).toHaveLength(8); // older generations are gone
  expect(await objects[0]?.read('b')).toBeNull();
});

test('a writer that slept through many changes does not undo them', async () => {
  const object = new TenantObject<readonly string[]>(objectsWith(box), 'words');
  const other = new TenantObject<readonly string[]>(objectsWith(box), 'words');
  await object.update('a', () => ['first']);
  let isFirst = true;
  const slowStore: PayloadStore = {
    put: async (...args) => await store.put(...args),
    open: async (key) => await store.open(key),
    list: (key) => store.list(key),
    entries: (folder) => store.entries(folder),
    removeHalfWritten: async (beforeMs) => await store.removeHalfWritten(beforeMs),
    prefetch: async () => {},
    pathOf: (key) => store.pathOf(key),
    presign: async () => await Promise.resolve(null),
    delete: async (key) => await store.delete(key),
    measure: async (key) => await store.measure(key),
    freeBytes: async () => await store.freeBytes(),
    check: async () => await store.check(),
    async create(...args) {
      const changes = isFirst ? 12 : 0;
      for (let count = 0; count < changes; count++) {
        await other.update('a', (words) => [...(words ?? []), String(count)]);
      }
      isFirst = false;
      return await store.create(...args);
    },
  };
  const slow = new TenantObject<readonly string[]>({ store: slowStore, box }, 'words');
  await slow.update('a', (words) => [...(words ?? []), 'slow']);

  expect(await object.read('a')).toHaveLength(1 + 12 + 1);
});

test('what lies beside or in the place of a generation is stepped over', async () => {
  const object = new TenantObject<number>(objectsWith(box), 'number');
  await object.update('a', () => 1);
  const lies = join(folder, 'tenants', 'a', 'number');
  await mkdir(join(lies, 'backup'));
  await cp(join(lies, '0000000001'), join(lies, 'backup', '0000000009'));
  await mkdir(join(lies, '0000000002'));
  execFileSync('mkfifo', [join(lies, '0000000003')]);
  await symlink('nowhere', join(lies, '0000000004'));

  expect(await object.read('a')).toBe(1);
  expect(await object.update('a', () => 2)).toBe(2);
  expect(await object.read('a')).toBe(2);
});

test('a file that is too large in the place of a generation is an error of the store', async () => {
  const object = new TenantObject<number>(objectsWith(box), 'number');
  await store.put('tenants/a/number/0000000007', Buffer.alloc(2_000_000), {
    mediaType: 'text/plain',
  });
  await expect(object.read('a')).rejects.toMatchObject({ name: 'StorageError', needsPerson: true });
});

test('many changes at once of one process take turns', async () => {
  const object = new TenantObject<number>(objectsWith(box), 'number');
  const changes = Array.from({ length: 200 }, async () => {
    await object.update('a', (value) => (value ?? 0) + 1);
  });
  await Promise.all(changes);

  expect(await object.read('a')).toBe(200);
});

test('a file where a tenant’s folder belongs is an error of the store', async () => {
  await store.put('tenants/a/number', Buffer.from('x'), { mediaType: 'text/plain' });
  const object = new TenantObject<number>(objectsWith(box), 'number');

  await expect(object.read('a')).rejects.toMatchObject({ name: 'StorageError' });
});

test('a tenant has one secret from the first question on; rotated, the old one is valid for a day', async () => {
  const start = Date.now();
  jest.useFakeTimers({ now: start, doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] });
  const secrets = new SigningSecrets(objectsWith(box));
  const asked = await Promise.all([secrets.valid('a'), secrets.valid('a'), secrets.valid('b')]);
  const [first] = asked[0];
  const [second, previous] = await secrets.rotate('a', 86_400_000);

  expect(first.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  expect(asked[1][0]).toEqual(first);
  expect(asked[2][0].secret).not.toBe(first.secret);
  expect(second.secret).not.toBe(first.secret);
  expect(previous).toEqual({ ...first, expires_at: new Date(start + 86_400_000).toISOString() });
  jest.setSystemTime(start + 86_399_000);
  expect(await secrets.valid('a')).toHaveLength(2);
  jest.setSystemTime(start + 86_401_000);
  expect((await secrets.valid('a')).map(({ secret }) => secret)).toEqual([second.secret]);
});

test('ten valid secrets are enough: the next rotation has to wait', async () => {
  const secrets = new SigningSecrets(objectsWith(box));
  await secrets.valid('a');
  for (let count = 0; count < 9; count++) await secrets.rotate('a', 86_400_000);

  await expect(secrets.rotate('a', 86_400_000)).rejects.toThrow('10 secrets are still valid');
  expect(await secrets.rotate('a', 0)).toHaveLength(1); // one has leaked: none but the new is valid
});

test('endpoints are kept encrypted, at most sixteen, also when registered at once', async () => {
  const endpoints = new WebhookEndpoints(objectsWith(box));
  const settings = {
    url: 'https://example.com/canary',
    events: ['prediction.failed'] as const,
    description: '',
    enabled: true,
  };
  await endpoints.register('a', 'whe_0', settings);
  await endpoints.change('a', 'whe_0', { enabled: false });
  for (let index = 1; index < 16; index++) await endpoints.register('a', `whe_${index}`, settings);

  expect(await endpoints.matching('a')).toHaveLength(15);
  await expect(endpoints.register('a', 'whe_16', settings)).rejects.toThrow('16 endpoints already');
  await endpoints.remove('a', 'whe_0');
  await expect(endpoints.get('a', 'whe_0')).rejects.toThrow('there is no webhook endpoint whe_0');
  await expect(endpoints.get('b', 'whe_1')).rejects.toThrow('there is no webhook endpoint whe_1');
  for await (const key of store.list('tenants')) {
    expect((await readFile(join(folder, key))).toString()).not.toContain('canary');
  }
});
