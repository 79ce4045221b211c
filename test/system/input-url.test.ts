/* Inputs that are given by URL: fetched, checked like an upload, and told apart when they fail. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { Service } from '../support/service.ts';

let service: Service;
let page: Buffer;
let files: Server;
let canary: Server;
let url: string;
let canaryUrl: string;
let canaryHits = 0;
/** How often each path was asked for. */
const hits = new Map<string, number>();
/** What the path /held answers with, once a test lets it. */
let release: () => void = () => {};

const listen = async (server: Server, host: string) => {
  await new Promise<void>((resolve) => {
    server.listen(0, host, resolve);
  });
  return `http://${host}:${(server.address() as AddressInfo).port}`;
};

const serveFiles: RequestListener = (request, response) => {
  const path = request.url ?? '';
  const count = (hits.get(path) ?? 0) + 1;
  hits.set(path, count);
  const answer = (status: number, body: string | Buffer = '', headers = {}) =>
    response.writeHead(status, headers).end(body);
  switch (path) {
    case '/page.png':
      return answer(200, page, { 'Content-Type': 'text/html' }); // what it says does not count
    case '/moved':
      return answer(302, '', { Location: '/page.png' });
    case '/to-canary':
      return answer(302, '', { Location: `${canaryUrl}/` });
    case '/loop':
      return answer(302, '', { Location: '/loop' });
    case '/flaky':
      return count < 2 ? answer(503) : answer(200, page);
    case '/gzip':
      return answer(200, gzipSync(page), { 'Content-Encoding': 'gzip' });
    case '/bomb': {
      const inflated = Buffer.concat([page, Buffer.alloc(50 * 1024 ** 2)]);
      return answer(200, gzipSync(inflated), { 'Content-Encoding': 'gzip' });
    }
    case '/large':
      return answer(200, Buffer.concat([page, Buffer.alloc(3 * 1024 ** 2)]));
    case '/text':
      return answer(200, 'this is no image, whatever it is', { 'Content-Type': 'image/png' });
    case '/empty':
      return answer(200);
    case '/broken-off':
      response.writeHead(200, { 'Content-Length': page.length }).write(page.subarray(0, 20_000));
      return response.destroy();
    case '/held':
    case '/crash':
      if (path === '/crash' && count > 1) return answer(200, page);
      response.writeHead(200, { 'Content-Length': page.length }).write(page.subarray(0, 20_000));
      release = () => response.end(page.subarray(20_000));
      return response;
    default:
      return answer(404);
  }
};

beforeAll(async () => {
  page = await readFile('examples/page.png');
  files = createServer(serveFiles);
  canary = createServer((_request, response) => {
    canaryHits += 1;
    response.end();
  });
  url = await listen(files, '127.0.0.1');
  canaryUrl = await listen(canary, '127.0.0.2');
  service = await Service.start({
    BUZZER_OUTBOUND_ALLOW: 'http://127.0.0.1',
    BUZZER_MAX_UPLOAD: '2MiB',
    BUZZER_HEARTBEAT_TIMEOUT: '3s',
  });
});
afterAll(async () => {
  await service.close();
  for (const server of [files, canary]) {
    server.closeAllConnections();
    server.close();
  }
});

const read = async (image: string) => await service.submit('ocr', { image });

test.each(['/page.png', '/moved', '/flaky', '/gzip'])('%s is read', async (path) => {
  const { id, input } = await read(`${url}${path}`);
  const record = await service.ended(id);
  const reference = record.input['image'] as { url: string };
  const stored = await fetch(reference.url);

  expect(input['image']).toEqual({
    url: reference.url,
    source_url: `${url}${path}`,
    bytes: null,
    sha256: null,
    media_type: null,
  });
  expect(record).toMatchObject({ status: 'succeeded', attempt: 1, error: null });
  expect(record.input['image']).toMatchObject({
    source_url: `${url}${path}`,
    bytes: page.length,
    sha256: createHash('sha256').update(page).digest('hex'),
    media_type: 'image/png',
  });
  expect(Buffer.from(await stored.arrayBuffer())).toEqual(page);
});

test.each([
  ['/nowhere', 'input_unavailable', 'its server answered 404', 1],
  ['/loop', 'input_unavailable', 'more than 3 redirects', 4],
  ['/text', 'invalid_input', 'no PNG, JPEG, TIFF or WebP', 1],
  ['/empty', 'invalid_input', 'the media is empty', 1],
  ['/large', 'invalid_input', 'larger than 2097152 bytes', 1],
  ['/bomb', 'invalid_input', 'larger than 2097152 bytes', 1],
  ['/to-canary', 'invalid_input', 'not an address that requests may go to', 1],
])('%s fails as %s: %s', async (path, code, message, asked) => {
  const { id } = await read(`${url}${path}`);
  const record = await service.ended(id);

  expect(record).toMatchObject({ status: 'failed', attempt: 0, started_at: null, error: { code } });
  expect(record.error?.message).toContain(message);
  expect(record.error?.message).toMatch(/^image: /);
  expect(hits.get(path)).toBe(asked);
  expect(service.payloads().filter((name) => name === id)).toEqual([]);
  expect(canaryHits).toBe(0);
  const stored = await fetch(`${service.url}/v1/predictions/${id}/input/image`);
  expect(stored.status).toBe(404);
});

test('a URL that can never be fetched is refused at once, and nothing is left behind', async () => {
  for (const image of [
    `${canaryUrl}/x.png`,
    'https://169.254.169.254/latest/meta-data/',
    'https://user:password@example.com/x.png',
  ]) {
    const response = await service.post({ model: 'ocr', input: { image } });
    const problem = (await response.json()) as { errors: { pointer: string }[] };
    expect([image, response.status]).toEqual([image, 422]);
    expect(problem.errors[0]?.pointer).toBe('/input/image');
  }
  expect(canaryHits).toBe(0);
});

test('while it is fetched the prediction says so; canceled then, it ends and never runs', async () => {
  const { id } = await read(`${url}/held`);
  const waiting = await service.readUntil(id, 'to be fetched', ({ queue }) => {
    return queue?.reason === 'fetching_input';
  });
  await until('the server to be asked', () => hits.get('/held'));
  await service.cancel(id);
  const record = await service.ended(id);
  release();

  expect(waiting).toMatchObject({ status: 'queued', attempt: 0 });
  expect(record).toMatchObject({ status: 'canceled', attempt: 0, started_at: null });
});

test('while it is fetched its terms stay, also when the change comes before the fetch', async () => {
  await service.orchestration.signal('SIGSTOP');
  const { id, deadline } = await read(`${url}/held`);
  const changing = fetch(`${service.url}/v1/predictions/${id}`, {
    method: 'PATCH',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ deadline: '5m' }),
  });
  await service.orchestration.signal('SIGCONT');
  const refused = await changing;
  const record = await service.read(id);
  await service.cancel(id);
  release();

  expect([refused.status, await refused.json()]).toMatchObject([409, { code: 'not_changeable' }]);
  expect(record.deadline).toBe(deadline);
});

test('inputs of a server that hangs do not hold up those of another', async () => {
  const silent = createServer(() => {});
  const silentUrl = await listen(silent, '127.0.0.1');
  const stuck = await Promise.all(
    Array.from({ length: 24 }, async () => await read(`${silentUrl}/hangs`)),
  );
  const { id } = await read(`${url}/page.png`);
  const record = await service.ended(id, 20_000);
  await Promise.all(stuck.map(async (each) => await service.cancel(each.id)));
  const ends = await Promise.all(stuck.map(async (each) => await service.ended(each.id)));
  silent.closeAllConnections();
  silent.close();

  expect(record.status).toBe('succeeded');
  expect(new Set(ends.map(({ status }) => status))).toEqual(new Set(['canceled']));
});

test('a server that breaks off is asked again, and is at fault in the end', async () => {
  const { id } = await read(`${url}/broken-off`);
  const record = await service.ended(id, 60_000);

  expect(record.error).toMatchObject({ code: 'input_unavailable', retryable: true });
  expect(hits.get('/broken-off')).toBe(5);
});

test('the worker is killed while it fetches: another fetches it again', async () => {
  const { id } = await read(`${url}/crash`);
  await until('the server to be asked', () => hits.get('/crash'));
  await service.orchestration.signal('SIGKILL');
  await service.orchestration.start();
  const record: Prediction = await service.ended(id);

  expect(record).toMatchObject({ status: 'succeeded', attempt: 1 });
  expect(hits.get('/crash')).toBe(2);
});
