/* Bad input is a clear problem, leaves nothing behind, and harms nobody else. */
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { deflateSync } from 'node:zlib';
import type { Prediction } from '../../src/contract/prediction.ts';
import { affine, Service } from '../support/service.ts';

let service: Service;
let page: Buffer;

beforeAll(async () => {
  service = await Service.start({
    BUZZER_MAX_UPLOAD: '1MiB',
    BUZZER_MAX_JSON: '1MiB',
    BUZZER_MAX_PIXELS: '1000000',
  });
  page = await readFile('examples/page.png');
});
afterAll(async () => await service.close());

interface ProblemBody {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly errors?: readonly { pointer: string; detail: string }[];
  readonly request_id: string;
}

async function problemOf(response: Response): Promise<ProblemBody> {
  expect(response.headers.get('Content-Type')).toContain('application/problem+json');
  const problem = (await response.json()) as ProblemBody;
  expect(problem.status).toBe(response.status);
  expect(problem.request_id).not.toBe('');
  return problem;
}

const tensor = (change: object) => ({
  model: 'affine',
  input: { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2], ...change }] },
});

const dataUrl = (bytes: Buffer) => ({
  model: 'ocr',
  input: { image: `data:image/png;base64,${bytes.toString('base64')}` },
});

/** A PNG header that promises this size; the pixels never come. */
function pngOf(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 0, 0, 0, 0], 8);
  const chunk = Buffer.concat([Buffer.from([0, 0, 0, 13]), Buffer.from('IHDR'), header]);
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), chunk, deflateSync('')]);
}

test.each([
  ['not JSON', '{"model": ', 400, 'malformed_request'],
  [
    'a literal NaN',
    JSON.stringify(tensor({})).replace('[1,2]}', '[NaN,2]}'),
    400,
    'malformed_request',
  ],
  ['no object', '[]', 422, 'invalid_input'],
  ['an unknown member', { model: 'affine', input: affine(), colour: 'red' }, 422, 'invalid_input'],
  ['no input', { model: 'affine' }, 422, 'invalid_input'],
  ['an unknown model', { model: 'nothing', input: {} }, 404, 'model_not_found'],
  ['an unknown version', { model: 'affine@9', input: {} }, 404, 'model_not_found'],
  ['a malformed version', { model: 'affine@one', input: {} }, 404, 'model_not_found'],
  ['a missing field', { model: 'ocr', input: {} }, 422, 'invalid_input'],
  ['an extra field', { model: 'affine', input: { ...affine(), y: 1 } }, 422, 'invalid_input'],
  ['a wrongly typed field', { model: 'ocr', input: { image: 7 } }, 422, 'invalid_input'],
  [
    'an unknown option',
    { model: 'affine', input: affine(), options: { a: 1 } },
    422,
    'invalid_input',
  ],
  ['a data URL that is no image', dataUrl(Buffer.from('hello, world')), 422, 'invalid_input'],
  ['an empty data URL', dataUrl(Buffer.alloc(0)), 422, 'invalid_input'],
  ['no data URL', { model: 'ocr', input: { image: 'page.png' } }, 422, 'invalid_input'],
  [
    'malformed base64',
    { model: 'ocr', input: { image: 'data:image/png;base64,**' } },
    422,
    'invalid_input',
  ],
  ['an image over the pixel limit', dataUrl(pngOf(4000, 3000)), 422, 'invalid_input'],
  ['a wrong tensor name', tensor({ name: 'z' }), 422, 'invalid_input'],
  ['a wrong shape', tensor({ shape: [2] }), 422, 'invalid_input'],
  ['a wrong datatype', tensor({ datatype: 'INT64' }), 422, 'invalid_input'],
  ['a wrong length', tensor({ data: [1] }), 422, 'invalid_input'],
  ['null among the numbers', tensor({ data: [1, null] }), 422, 'invalid_input'],
  [
    'a hundred thousand tensors',
    { model: 'affine', input: { inputs: Array.from({ length: 1e5 }, () => ({})) } },
    422,
    'invalid_input',
  ],
  [
    'data nested without end',
    JSON.stringify(tensor({ data: 0 })).replace(
      '"data":0',
      `"data":${'['.repeat(9000)}${']'.repeat(9000)}`,
    ),
    422,
    'invalid_input',
  ],
  [
    'a body over the limit',
    { ...tensor({}), pad: 'x'.repeat(1_200_000) },
    413,
    'payload_too_large',
  ],
])('%s is refused', async (_name, body, status, code) => {
  const problem = await problemOf(await service.post(body));

  expect(problem).toMatchObject({ status, code });
  expect(service.payloads()).toEqual([]);
});

test.each([
  ['http where nothing was opened', 'http://127.0.0.1:9000/'],
  ['a private address', 'https://10.0.0.1/'],
  ['no URL', 'example.com/hook'],
  ['a number', 7],
  ['a password', 'https://user:password@example.com/'],
  ['no events', { url: 'https://example.com/', events: [] }],
  ['an unknown event', { url: 'https://example.com/', events: ['done'] }],
  ['an unknown member', { url: 'https://example.com/', secret: 'x' }],
])('a webhook: %s is refused, and the place is named', async (_name, webhook) => {
  const response = await service.post({ model: 'affine', input: affine(), webhook });
  const problem = await problemOf(response);

  expect(problem).toMatchObject({ status: 422, code: 'invalid_input' });
  expect(problem.errors?.[0]?.pointer).toMatch(/^\/webhook/);
});

test('an input URL that leads where requests may not go is refused, and the place is named', async () => {
  const input = { image: 'https://169.254.169.254/latest/meta-data/' };
  const problem = await problemOf(await service.post({ model: 'ocr', input }));

  expect(problem).toMatchObject({ status: 422, errors: [{ pointer: '/input/image' }] });
});

test('a client finds its own request id again; what is none is replaced', async () => {
  const own = await service.post('{', { 'X-Request-Id': 'order-4711.1' });
  const odd = await service.post('{', { 'X-Request-Id': 'two words' });

  expect(own.headers.get('X-Request-Id')).toBe('order-4711.1');
  expect((await problemOf(own)).request_id).toBe('order-4711.1');
  expect(odd.headers.get('X-Request-Id')).toMatch(/^[0-9a-f-]{36}$/);
});

test('a refusal points at the place', async () => {
  const problem = await problemOf(await service.post(tensor({ data: [1, 'two'] })));

  expect(problem.errors).toEqual([
    { pointer: '/input/inputs/0/data/1', detail: 'x must be a finite number' },
  ]);
});

test.each([
  ['an empty body', 'image/png', Buffer.alloc(0), 422, 'invalid_input'],
  ['a body that is no image', 'image/png', Buffer.from('plain text'), 422, 'invalid_input'],
  ['an image over the pixel limit', 'image/png', pngOf(4000, 3000), 422, 'invalid_input'],
  ['the wrong Content-Type', 'text/plain', Buffer.from('text'), 415, 'unsupported_media_type'],
  [
    'a form',
    'application/x-www-form-urlencoded',
    Buffer.from('a=b'),
    415,
    'unsupported_media_type',
  ],
  ['a body over the limit', 'image/png', Buffer.alloc(1_200_000), 413, 'payload_too_large'],
])('as raw media, %s is refused', async (_name, type, bytes, status, code) => {
  const image = status === 413 ? Buffer.concat([pngOf(100, 100), bytes]) : bytes;
  const response = await fetch(`${service.url}/v1/models/ocr/predictions`, {
    method: 'POST',
    headers: { 'Content-Type': type },
    body: image,
  });

  expect(await problemOf(response)).toMatchObject({ status, code });
  expect(service.payloads()).toEqual([]);
});

test('an upload that is refused while it arrives is answered at once, and the connection ends', async () => {
  const answered = await new Promise<{ status: number; closed: Promise<void> }>(
    (resolve, reject) => {
      const upload = request(`${service.url}/v1/models/ocr/predictions`, {
        method: 'POST',
        headers: { 'Content-Type': 'image/png', 'Content-Length': '900000' },
      });
      upload.once('error', reject);
      upload.once('response', (response) => {
        const socket = response.socket;
        const closed = new Promise<void>((done) => socket.once('close', () => done()));
        response.resume();
        resolve({ status: response.statusCode ?? 0, closed });
      });
      upload.write('this is not an image'); // and the rest never comes
    },
  );
  await answered.closed;

  expect(answered.status).toBe(422);
  expect(service.payloads()).toEqual([]);
});

test('an upload that breaks off leaves nothing behind', async () => {
  await new Promise<void>((resolve) => {
    const upload = request(`${service.url}/v1/models/ocr/predictions`, {
      method: 'POST',
      headers: { 'Content-Type': 'image/png', 'Content-Length': String(page.length) },
    });
    upload.once('error', () => resolve());
    upload.write(page.subarray(0, 20_000), () => upload.destroy());
    upload.once('close', () => resolve());
  });
  const other = await service.post({ model: 'affine', input: affine() }, { Prefer: 'wait' });

  expect(other.status).toBe(200);
  expect(service.payloads()).toEqual([]);
});

test('what only decoding can find is accepted and fails after one attempt', async () => {
  const { id } = await service.submit('ocr', dataUrl(page.subarray(0, 20_000)).input);
  const record = await service.ended(id);

  expect(record).toMatchObject({
    status: 'failed',
    attempt: 1,
    error: { code: 'invalid_input', retryable: false, attempt: 1 },
  });
  expect(record.error?.message).toContain('cannot be decoded');
});

test.each([
  ['/v1/predictions/nonsense', 400, 'malformed_request'],
  ['/v1/predictions/pred_00000000000000000000000000', 404, 'not_found'],
  ['/v1/predictions/pred_00000000000000000000000000?wait=61', 400, 'malformed_request'],
  ['/v1/predictions?cursor=AAAA', 400, 'malformed_request'],
  ['/v1/predictions/%zz', 400, 'malformed_request'],
  ['/v1/predictions?limit=0', 400, 'malformed_request'],
  ['/v1/predictions?colour=red', 400, 'malformed_request'],
  ['/v1/models/nothing', 404, 'model_not_found'],
  ['/v1/nothing', 404, 'not_found'],
])('GET %s is %i', async (path, status, code) => {
  expect(await problemOf(await fetch(`${service.url}${path}`))).toMatchObject({ status, code });
});

test('a Prefer header that cannot be understood is refused before anything is accepted', async () => {
  const response = await service.post(
    { model: 'affine', input: affine() },
    { Prefer: 'wait=soon' },
  );

  expect(await problemOf(response)).toMatchObject({ status: 400, code: 'malformed_request' });
});

test('a method that a path does not take is 405 and names those it takes', async () => {
  const response = await fetch(`${service.url}/v1/predictions`, { method: 'PUT' });

  expect(response.headers.get('Allow')).toBe('GET, POST');
  expect(await problemOf(response)).toMatchObject({ status: 405, code: 'method_not_allowed' });
});

test('after all of this a good prediction still succeeds', async () => {
  const response = await service.post(dataUrl(page), { Prefer: 'wait' });

  expect((await response.json()) as Prediction).toMatchObject({ status: 'succeeded' });
});
