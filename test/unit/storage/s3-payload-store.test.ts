/* The payload store in a bucket, against a real S3 server. */
import { randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { Readable } from 'node:stream';
import { CreateMultipartUploadCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { PayloadNotFoundError, StorageError } from '../../../src/storage/payload-store.ts';
import { RememberingPayloadStore } from '../../../src/storage/remembering-payload-store.ts';
import { S3PayloadStore, type S3Settings } from '../../../src/storage/s3-payload-store.ts';
import { keysOf } from '../../support/payloads.ts';
import { type S3Server, startS3 } from '../../support/seaweed.ts';
import { freePort } from '../../support/temporal.ts';
import { payloadStoreSuite } from './payload-store.suite.ts';

let server: S3Server;
beforeAll(async () => {
  server = await startS3();
}, 60_000);
afterAll(async () => await server.close());

const client = (more: S3ClientConfig = {}): S3ClientConfig => ({
  endpoint: server.environment['AWS_ENDPOINT_URL_S3'] ?? '',
  region: 'us-east-1',
  credentials: {
    accessKeyId: server.environment['AWS_ACCESS_KEY_ID'] ?? '',
    secretAccessKey: server.environment['AWS_SECRET_ACCESS_KEY'] ?? '',
  },
  ...more,
});
const open = async (settings: Partial<S3Settings> = {}, more: S3ClientConfig = {}) =>
  await S3PayloadStore.open(
    {
      bucket: server.bucket,
      prefix: randomUUID(),
      isPathStyle: true,
      encryption: null,
      redirects: false,
      ...settings,
    },
    client(more),
  );
const text = { mediaType: 'text/plain' };

payloadStoreSuite(async () => await open());

describe('remembered', () => {
  payloadStoreSuite(async () => new RememberingPayloadStore(await open(), 2000));
});

test('a large stream takes several parts, and comes back as it was', async () => {
  const store = await open();
  const pieces = Array.from({ length: 40 }, () => randomBytes(1024 ** 2));
  const claim = await store.put('a/large', Readable.from(pieces), text);
  const back = Buffer.concat(await (await store.open('a/large')).toArray());

  expect(claim.bytes).toBe(40 * 1024 ** 2);
  expect(back.equals(Buffer.concat(pieces))).toBe(true);
});

test('uploads that broke off are removed when they are old enough', async () => {
  const settings = { prefix: randomUUID() };
  const store = await open(settings);
  const s3 = new S3Client({ ...client(), forcePathStyle: true });
  const upload = { Bucket: server.bucket, Key: `${settings.prefix}/files/t/large` };
  await s3.send(new CreateMultipartUploadCommand(upload));
  const other = { ...upload, Key: `${randomUUID()}/x` };
  await s3.send(new CreateMultipartUploadCommand(other));

  expect(await store.removeHalfWritten(Date.now() - 60_000)).toBe(0);
  expect(await store.removeHalfWritten(Date.now() + 60_000)).toBe(1);
  expect(await store.removeHalfWritten(Date.now() + 60_000)).toBe(0);
  s3.destroy();
});

test('two prefixes of a bucket are two stores', async () => {
  const [one, other] = [await open(), await open()];
  await one.put('a/x', Buffer.from('1'), text);

  expect(await keysOf(other, 'a')).toEqual([]);
  await other.delete('a');
  expect(await keysOf(one, 'a')).toEqual(['a/x']);
});

test('what is measured is what is below a key, and not what only begins with its name', async () => {
  const store = await open();
  await store.put('p/a/x', Buffer.alloc(3), text);
  await store.put('p/a/y', Buffer.alloc(4), text);
  await store.put('p/ab', Buffer.alloc(5), text);

  expect(
    await Promise.all([store.measure('p/a'), store.measure('p/a/x'), store.measure('p')]),
  ).toEqual([7, 3, 12]);
});

test('thousands of objects are listed and deleted', async () => {
  const store = await open();
  const names = Array.from({ length: 1100 }, (_, index) => `many/${index}`);
  for (let from = 0; from < names.length; from += 50) {
    await Promise.all(
      names.slice(from, from + 50).map(async (key) => await store.put(key, Buffer.from('1'), text)),
    );
  }
  expect(await keysOf(store, 'many')).toHaveLength(1100);
  await store.delete('many');

  expect(await keysOf(store, 'many')).toEqual([]);
}, 30_000);

test.each<[string, () => Promise<unknown>, RegExp, boolean]>([
  [
    'a bucket that is not there',
    async () => await open({ bucket: 'nothing-here' }),
    /there is no such bucket/,
    true,
  ],
  [
    'a wrong secret',
    async () =>
      await open({}, { credentials: { accessKeyId: 'buzzerkey', secretAccessKey: 'wrong' } }),
    /credentials|secret key/,
    true,
  ],
  [
    'a server that is not there',
    async () =>
      await open({}, { endpoint: `http://127.0.0.1:${await freePort()}`, maxAttempts: 1 }),
    /ECONNREFUSED/,
    false,
  ],
])('%s is said in plain words', async (_what, opening, message, needsPerson) => {
  const error = await opening().catch((thrown: unknown) => thrown);

  expect(error).toBeInstanceOf(StorageError);
  expect(error).toMatchObject({ needsPerson });
  expect((error as Error).message).toMatch(message);
});

test('a server that does not answer is given up', async () => {
  const silent = createServer(() => {});
  const port = await freePort();
  await new Promise<void>((resolve) => silent.listen(port, '127.0.0.1', resolve));
  const requestHandler = { socketTimeout: 300 };
  const endpoint = `http://127.0.0.1:${port}`;
  const error = await open({}, { endpoint, maxAttempts: 1, requestHandler }).catch(
    (thrown: unknown) => thrown,
  );
  silent.close();

  expect(error).toBeInstanceOf(StorageError);
});

test('an object that goes away is not found', async () => {
  const store = await open();
  await store.put('a/x', Buffer.from('1'), text);
  await store.delete('a/x');

  await expect(store.open('a/x')).rejects.toThrow(PayloadNotFoundError);
});
