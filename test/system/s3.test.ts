/* The whole service with its payloads in a bucket of a real S3 server, which goes away and comes back. */
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileRecord } from '../../src/contract/file.ts';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { type S3Server, startS3 } from '../support/seaweed.ts';
import { affine, burn, Service } from '../support/service.ts';
import { silence } from '../support/wav.ts';

let s3: S3Server;
let service: Service;

beforeAll(async () => {
  s3 = await startS3();
  service = await Service.start({
    ...s3.environment,
    BUZZER_S3_REDIRECT: 'true',
    BUZZER_PAYLOAD_STORE: `s3://${s3.bucket}/some/prefix`,
    BUZZER_ENGINE_INLINE_LIMIT: '0',
  });
}, 60_000);
afterAll(async () => {
  await service.close();
  await s3.close();
});

const read = async (id: string, path = '') =>
  await fetch(`${service.url}/v1/predictions/${id}${path}`);

test('an image goes up, its text comes down, and both are gone when they are deleted', async () => {
  const page = await readFile('examples/page.png');
  const response = await fetch(`${service.url}/v1/models/ocr/predictions?wait=60`, {
    method: 'POST',
    headers: { 'Content-Type': 'image/png' },
    body: page,
  });
  const record = (await response.json()) as Prediction;
  expect(record).toMatchObject({ status: 'succeeded' });
  const input = Buffer.from(await (await read(record.id, '/input/image')).arrayBuffer());
  expect(input.equals(page)).toBe(true);
  expect(await (await read(record.id, '/output')).json()).toEqual(record.output);

  expect((await read(record.id)).status).toBe(200);
  const deleted = await fetch(record.urls.get, { method: 'DELETE' });
  expect(deleted.status).toBe(204);
  for (const path of ['', '/output', '/input/image']) {
    expect([path, (await read(record.id, path)).status]).toEqual([path, 410]);
  }
});

test('a client puts a file into the bucket itself, with as many bytes as it has said', async () => {
  const bytes = randomBytes(3_000_000);
  const begin = async (query: string) =>
    await fetch(`${service.url}/v1/files?presigned=true&filename=own${query}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-own' },
    });
  expect((await begin('')).status).toBe(400);
  expect((await begin('&bytes=100000000000000')).status).toBe(413);
  const response = await begin(`&bytes=${bytes.length}`);
  const begun = (await response.json()) as FileRecord;
  expect([response.status, begun]).toEqual([
    201,
    expect.objectContaining({ status: 'uploading', parts: [], filename: 'own' }),
  ]);
  const put = async (body: Buffer) =>
    (await fetch(begun.upload?.url ?? '', { method: 'PUT', body })).status;
  const complete = async () => await fetch(`${begun.urls.get}/complete`, { method: 'POST' });
  expect((await complete()).status).toBe(422);
  expect(await put(bytes.subarray(1))).toBe(403);
  expect(await put(bytes)).toBe(200);
  const done = (await (await complete()).json()) as FileRecord;
  expect(done).toMatchObject({
    status: 'ready',
    bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    media_type: 'application/x-own',
  });

  // Its URL can still be used, and changes nothing.
  expect(await put(Buffer.alloc(bytes.length))).toBe(200);
  const down = await fetch(done.urls.content, { redirect: 'manual' });
  expect(down.status).toBe(307);
  const location = down.headers.get('Location') ?? '';
  expect(location).toContain(s3.bucket);
  const content = await fetch(location, { headers: { Range: 'bytes=5-9' } });
  expect(content.headers.get('Content-Type')).toBe('application/x-own');
  expect(Buffer.from(await content.arrayBuffer()).equals(bytes.subarray(5, 10))).toBe(true);
});

test('a large file is spooled for the model, and nothing of it is left on the disk', async () => {
  const bytes = 34 * 1024 ** 2;
  const response = await fetch(`${service.url}/v1/files`, {
    method: 'POST',
    headers: { 'Content-Type': 'audio/wav' },
    body: silence(bytes),
  });
  const { id } = (await response.json()) as FileRecord;
  const record = await service.ended((await service.submit('voice-activity', { audio: id })).id);
  expect(record).toMatchObject({ status: 'succeeded', output: { segments: [] } });
  const workers = join(service.dataDir, 'workers');
  const spooled = (await readdir(workers)).map(
    async (worker) => await readdir(join(workers, worker, 'spool')).catch(() => []),
  );
  expect((await Promise.all(spooled)).flat()).toEqual([]);
});

test('a list shows what is there, and not what was deleted', async () => {
  const all = await Promise.all(
    Array.from({ length: 12 }, async () => {
      return await service.ended((await service.submit('affine', affine())).id);
    }),
  );
  const [gone] = all;
  await fetch(gone?.urls.get ?? '', { method: 'DELETE' });
  const left = all.slice(1).map(({ id }) => id);
  const ids = await until('the list', async () => {
    const response = await fetch(`${service.url}/v1/predictions?model=affine&limit=100`);
    const found = ((await response.json()) as { data: Prediction[] }).data.map(({ id }) => id);
    return left.every((id) => found.includes(id)) ? found : undefined;
  });

  expect(ids).not.toContain(gone?.id);
});

test('workers are known by what they write into the bucket', async () => {
  await until('the state of its model', async () => {
    return (await service.model('affine')).state === 'ready' ? true : undefined;
  });
});

test('secrets of tenants are created once, by whoever is first', async () => {
  const rotate = async () =>
    await fetch(`${service.url}/v1/webhook_secret/rotate`, { method: 'POST' });
  const answers = await Promise.all(Array.from({ length: 5 }, rotate));

  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  const secret = await fetch(`${service.url}/v1/webhook_secret`);
  expect((await secret.json()) as object).toMatchObject({ object: 'webhook_secret' });
});

test('a store that is away refuses inputs and costs no prediction', async () => {
  const { id } = await service.submit('burn', burn(1));
  await service.processing(id);
  s3.signal('SIGSTOP');
  const refused = fetch(`${service.url}/v1/predictions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ model: 'affine', input: affine() }),
  });
  const sentAtMs = Date.now();
  const answer = await refused;
  expect(Date.now() - sentAtMs).toBeLessThan(60_000);
  expect([answer.status, await answer.json()]).toMatchObject([
    503,
    { code: 'storage_unavailable' },
  ]);
  s3.signal('SIGCONT');

  expect(await service.ended(id, 90_000)).toMatchObject({ status: 'succeeded' });
}, 180_000);
