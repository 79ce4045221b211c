/* Files: stored once, used by their id, gone when they are deleted. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Batch } from '../../src/contract/batch.ts';
import type { FilePart, FileRecord } from '../../src/contract/file.ts';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { Service } from '../support/service.ts';
import { silence } from '../support/wav.ts';

let service: Service;
let page: Buffer;

beforeAll(async () => {
  page = await readFile('examples/page.png');
  service = await Service.start({ BUZZER_MAX_FILE: '40MiB' });
});
afterAll(async () => await service.close());

const digestOf = (bytes: Buffer) =>
  `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;

const send = async (
  body: Buffer | null,
  query = '',
  headers: Record<string, string> = { 'Content-Type': 'image/png' },
) => await fetch(`${service.url}/v1/files${query}`, { method: 'POST', headers, body });

async function stored(body: Buffer, query = ''): Promise<FileRecord> {
  const response = await send(body, query);
  expect(response.status).toBe(201);
  return (await response.json()) as FileRecord;
}

const json = async (url: string, body: unknown) =>
  await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });

test('an image is stored once and read as often as its id is given', async () => {
  const file = await stored(page, '?filename=page.png&expires_after=1h');
  expect(file).toMatchObject({
    status: 'ready',
    filename: 'page.png',
    media_type: 'image/png',
    bytes: page.length,
    sha256: createHash('sha256').update(page).digest('hex'),
    parts: null,
  });
  const down = await fetch(file.urls.content);
  expect(Buffer.from(await down.arrayBuffer()).equals(page)).toBe(true);

  const submitted = await service.submit('ocr', { image: file.id });
  const record = await service.ended(submitted.id);
  expect(record).toMatchObject({ status: 'succeeded', input: { image: { bytes: page.length } } });
  expect((await fetch(record.urls.get, { method: 'DELETE' })).status).toBe(204);
  expect((await fetch(file.urls.content)).status).toBe(200); // it is nobody's but its own

  const batch = await json(`${service.url}/v1/batches`, {
    model: 'ocr',
    items: [
      { custom_id: 'a', input: { image: file.id } },
      { custom_id: 'b', input: { image: file.id.replace(/.$/, '0') } },
    ],
  });
  const { id } = (await batch.json()) as Batch;
  const done = await until('the batch', async () => {
    const found = (await (await fetch(`${service.url}/v1/batches/${id}`)).json()) as Batch;
    return found.completed_at === null ? undefined : found;
  });
  expect(done.request_counts).toMatchObject({ succeeded: 1, failed: 1 });
  const [first, second] = (await (await fetch(done.urls.output)).text()).split('\n');
  expect(JSON.parse(first ?? '')).toMatchObject({ output: record.output });
  expect(JSON.parse(second ?? '')).toMatchObject({
    error: { code: 'invalid_input', message: expect.stringMatching(/there is no file/) },
  });
});

test('a piece of it can be asked for', async () => {
  const file = await stored(page);
  const piece = async (range: string) => {
    const response = await fetch(file.urls.content, { headers: { Range: range } });
    const bytes = Buffer.from(await response.arrayBuffer());
    return [response.status, response.headers.get('Content-Range'), bytes] as const;
  };
  const total = page.length;
  expect(await piece('bytes=10-19')).toEqual([206, `bytes 10-19/${total}`, page.subarray(10, 20)]);
  expect((await piece('bytes=-5'))[2]).toEqual(page.subarray(-5));
  expect((await piece(`bytes=${total - 3}-`))[2]).toEqual(page.subarray(-3));
  expect((await piece(`bytes=${total}-`)).slice(0, 2)).toEqual([416, `bytes */${total}`]);
  expect((await piece('bytes=0-1,4-5'))[0]).toBe(200);
});

test('a form brings its name and its media type', async () => {
  const form = new FormData();
  form.set('file', new Blob([page], { type: 'image/png' }), 'scan.png');
  const response = await fetch(`${service.url}/v1/files`, { method: 'POST', body: form });
  expect(response.status).toBe(201);
  expect(await response.json()).toMatchObject({ filename: 'scan.png', media_type: 'image/png' });
});

test('an upload that was cut off goes on with the parts that are missing', async () => {
  const bytes = randomBytes(2_000_000);
  const parts = [
    bytes.subarray(0, 700_000),
    bytes.subarray(700_000, 1_400_000),
    bytes.subarray(1_400_000),
  ];
  const begun = (await (await send(null, '?parts=true&filename=large')).json()) as FileRecord;
  expect(begun).toMatchObject({ status: 'uploading', bytes: null, parts: [] });
  const put = async (number: number, body: Buffer, digest = digestOf(body)) =>
    await fetch(`${begun.urls.get}/parts/${number}`, {
      method: 'PUT',
      headers: { 'Content-Digest': digest },
      body,
    });
  const complete = async (digest = digestOf(bytes)) =>
    await fetch(`${begun.urls.get}/complete`, {
      method: 'POST',
      headers: { 'Content-Digest': digest },
    });
  const [first = bytes, second = bytes, third = bytes] = parts;
  expect((await put(1, second, digestOf(first))).status).toBe(422);
  expect((await put(1, third)).status).toBe(200);
  expect((await put(1, first)).status).toBe(200); // the later one counts
  expect((await put(3, third)).status).toBe(200);
  const broken = await complete();
  expect([broken.status, await broken.text()]).toEqual([
    422,
    expect.stringMatching(/part 2 is missing/),
  ]);

  const { parts: there } = (await (await fetch(begun.urls.get)).json()) as FileRecord;
  expect(there?.map(({ number }: FilePart) => number)).toEqual([1, 3]);
  expect((await put(2, second)).status).toBe(200);
  expect((await complete(digestOf(first))).status).toBe(422);
  const done = await complete();
  expect([done.status, await done.json()]).toEqual([
    200,
    expect.objectContaining({ status: 'ready', bytes: bytes.length, parts: null }),
  ]);
  const down = Buffer.from(await (await fetch(begun.urls.content)).arrayBuffer());
  expect(down.equals(bytes)).toBe(true);
  expect((await put(4, first)).status).toBe(422);
});

async function uploadInTwoParts(): Promise<FileRecord> {
  const begun = (await (await send(null, '?parts=true')).json()) as FileRecord;
  for (const number of [1, 2]) {
    const url = `${begun.urls.get}/parts/${number}`;
    await fetch(url, { method: 'PUT', body: randomBytes(100_000) });
  }
  return begun;
}

test('several that complete a file at once get the same file', async () => {
  const { urls } = await uploadInTwoParts();
  const complete = async () => await fetch(`${urls.get}/complete`, { method: 'POST' });
  const answers = await Promise.all(Array.from({ length: 4 }, complete));
  const done = answers.filter(({ status }) => status === 200);
  const files = await Promise.all(done.map(async (answer) => (await answer.json()) as FileRecord));
  expect(files.length).toBeGreaterThan(0);
  expect(new Set(files.map(({ sha256 }) => sha256)).size).toBe(1);
  const content = Buffer.from(await (await fetch(urls.content)).arrayBuffer());
  expect(createHash('sha256').update(content).digest('hex')).toBe(files[0]?.sha256);
});

test('a file that is deleted while it is completed does not come back', async () => {
  for (let time = 0; time < 5; time++) {
    const { urls } = await uploadInTwoParts();
    await Promise.all([
      fetch(`${urls.get}/complete`, { method: 'POST' }),
      fetch(`${urls.get}/parts/3`, { method: 'PUT', body: randomBytes(1000) }),
      fetch(urls.get, { method: 'DELETE' }),
    ]);
    expect((await fetch(urls.get)).status).toBe(410);
    expect((await fetch(urls.content)).status).toBe(410);
  }
});

test.each([
  ['too large', () => Buffer.alloc(40 * 1024 ** 2 + 1), {}, 413],
  ['another hash', () => Buffer.from('x'), { 'Content-Digest': digestOf(Buffer.from('y')) }, 422],
  ['no hash', () => Buffer.from('x'), { 'Content-Digest': 'sha-256=:abc:' }, 400],
])('%s is refused, and nothing is left', async (_what, body, headers, status) => {
  const response = await send(body(), '', { 'Content-Type': 'image/png', ...headers });
  expect(response.status).toBe(status);
});

test('what is no image is refused where an image is asked for, and so is what is not there', async () => {
  const text = await stored(Buffer.from('just a text'));
  const begun = (await (await send(null, '?parts=true')).json()) as FileRecord;
  for (const [image, why] of [
    [text.id, /image/],
    [begun.id, /still being uploaded/],
    [text.id.replace(/.$/, '0'), /no file/],
  ] as const) {
    const response = await service.post({ model: 'ocr', input: { image } });
    expect([response.status, await response.text()]).toEqual([
      response.status === 404 ? 404 : 422,
      expect.stringMatching(why),
    ]);
  }
});

test('a file of lines is a batch, also when it is deleted at once', async () => {
  const lines = Array.from({ length: 100 }, (_, n) =>
    JSON.stringify({ custom_id: `n${n}`, input: { x: [[n]] } }),
  );
  const file = await stored(Buffer.from(lines.join('\n')));
  const response = await json(`${service.url}/v1/batches`, {
    model: 'affine',
    input_file_id: file.id,
  });
  expect(response.status).toBe(202);
  expect((await fetch(file.urls.get, { method: 'DELETE' })).status).toBe(204);
  const { urls } = (await response.json()) as Batch;
  const done = (await (await fetch(`${urls.get}?wait=30`)).json()) as Batch;
  expect(done.request_counts).toMatchObject({ total: 100, succeeded: 100 });
  const both = { model: 'affine', input_file_id: file.id, items: [{ custom_id: 'a', input: 1 }] };
  expect((await json(`${service.url}/v1/batches`, both)).status).toBe(422);
  const gone = await json(`${service.url}/v1/batches`, { model: 'affine', input_file_id: file.id });
  expect(gone.status).toBe(410);
});

test('a large file is read where it lies', async () => {
  const file = await stored(silence(36 * 1024 ** 2));
  const input = { audio: file.id };
  const record = await service.ended((await service.submit('voice-activity', input)).id);
  expect(record).toMatchObject({ status: 'succeeded', output: { segments: [] } });
  const items = [{ custom_id: 'a', input }];
  const batch = await json(`${service.url}/v1/batches`, { model: 'voice-activity', items });
  const { urls } = (await batch.json()) as Batch;
  const done = (await (await fetch(`${urls.get}?wait=30`)).json()) as Batch;
  expect(done.request_counts).toMatchObject({ succeeded: 1 });
});

test('a list has the newest first, in pages, without what is gone or was put there by others', async () => {
  const strange = join(service.dataDir, 'payloads', 'files', 'default');
  for (const name of ['zz', `file_${'z'.repeat(26)}`]) {
    await mkdir(join(strange, name), { recursive: true });
    await writeFile(join(strange, name, 'file.json'), '{');
  }
  const files: FileRecord[] = [];
  for (let n = 0; n < 5; n++) files.push(await stored(Buffer.from(`file ${n}`)));
  const [oldest, gone] = files;
  await fetch(gone?.urls.get ?? '', { method: 'DELETE' });
  expect((await fetch(gone?.urls.get ?? '')).status).toBe(410);
  const seen: string[] = [];
  let next: string | null = '';
  while (next !== null && !seen.includes(oldest?.id ?? '')) {
    const query: string = next === '' ? '' : `&after=${next}`;
    const response = await fetch(`${service.url}/v1/files?limit=2${query}`);
    const list = (await response.json()) as { data: FileRecord[]; next_cursor: string | null };
    seen.push(...list.data.map(({ id }) => id));
    next = list.next_cursor;
  }
  const expected = files.filter((file) => file !== gone).map(({ id }) => id);
  expect(seen).toEqual(expected.toReversed());
});

test('a file expires by itself', async () => {
  const file = await stored(page, '?expires_after=1s');
  await until('it to expire', async () =>
    (await fetch(file.urls.get)).status === 410 ? true : undefined,
  );
  expect((await fetch(file.urls.content)).status).toBe(410);
  const prediction = await service.post({ model: 'ocr', input: { image: file.id } });
  expect(((await prediction.json()) as Prediction & { code: string }).code).toBe('expired');
});
