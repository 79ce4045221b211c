/* Media as a form: files in any order with the JSON, and every way in which that can go wrong. */
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import sharp from 'sharp';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { Service } from '../support/service.ts';

let service: Service;
let image: Blob;

beforeAll(async () => {
  service = await Service.start({ BUZZER_MAX_UPLOAD: '2MiB', BUZZER_MAX_JSON: '64KiB' });
  const create = { width: 64, height: 32, channels: 3, background: 'white' } as const;
  image = new Blob([new Uint8Array(await sharp({ create }).png().toBuffer())]);
});
afterAll(async () => {
  await service.close();
});

async function send(form: FormData, model = 'ocr', headers: Record<string, string> = {}) {
  const url = `${service.url}/v1/models/${model}/predictions`;
  const answer = await fetch(url, { method: 'POST', headers, body: form });
  const body = (await answer.json()) as Prediction & { code: string; detail: string };
  return { status: answer.status, body, replayed: answer.headers.get('Idempotency-Replayed') };
}

const formOf = (...parts: readonly (readonly [string, Blob | string])[]): FormData => {
  const form = new FormData();
  for (const [name, value] of parts) {
    if (typeof value === 'string') form.append(name, value);
    else form.append(name, value, `${name}.bin`);
  }
  return form;
};
const rest = JSON.stringify({ priority: 2, tags: ['form'], metadata: { from: 'form' } });

test('a file is the input of its name, the part request the rest, in any order', async () => {
  const wait = { Prefer: 'wait=60' };
  const before = await send(formOf(['request', rest], ['image', image]), 'ocr', wait);
  const after = await send(formOf(['image', image], ['request', rest]), 'ocr', wait);

  for (const { status, body } of [before, after]) {
    expect([status, body.status]).toEqual([200, 'succeeded']);
    expect(body).toMatchObject({ priority: 2, tags: ['form'], metadata: { from: 'form' } });
    expect(body.input['image']).toMatchObject({ bytes: image.size, media_type: 'image/png' });
  }
});

test('audio comes as a form too; the file alone is enough', async () => {
  const audio = new Blob([new Uint8Array(await readFile('test/fixtures/speech.flac'))]);
  const { body } = await send(formOf(['audio', audio]), 'voice-activity', { Prefer: 'wait=60' });
  expect(body.status).toBe('succeeded');
});

test('the same form with the same Idempotency-Key is the same prediction; its upload is removed', async () => {
  const key = { 'Idempotency-Key': 'form' };
  const first = await send(formOf(['image', image]), 'ocr', key);
  const again = await send(formOf(['image', image]), 'ocr', key);
  const other = await send(formOf(['image', new Blob([image, 'x'])]), 'ocr', key);

  expect([again.body.id, again.replayed]).toEqual([first.body.id, 'true']);
  expect([other.status, other.body.code]).toEqual([422, 'idempotency_mismatch']);
  expect(service.uploads(first.body.id)).toHaveLength(1);
});

describe('what is refused, and leaves nothing behind', () => {
  test.each([
    ['no file', () => formOf(['request', rest]), 422, '/input/image'],
    ['a file that the model does not take', () => formOf(['pdf', image]), 422, '/input/pdf'],
    ['a file that is no image', () => formOf(['image', new Blob(['hello'])]), 422, '/input/image'],
    ['an empty file', () => formOf(['image', new Blob([])]), 422, '/input/image'],
    ['two files', () => formOf(['image', image], ['image', image]), 400, 'more parts'],
    ['a part that is neither', () => formOf(['image', image], ['x', 'y']), 400, 'neither a file'],
    ['a request that is no JSON', () => formOf(['image', image], ['request', '{']), 400, 'JSON'],
    ['two requests', () => formOf(['request', rest], ['request', rest]), 400, 'more parts'],
    [
      'an unknown member',
      () => formOf(['image', image], ['request', '{"model": "ocr"}']),
      422,
      '/model',
    ],
    [
      'the image twice',
      () => formOf(['image', image], ['request', '{"input": {"image": "https://example.com/"}}']),
      422,
      'twice',
    ],
    [
      'a request that is too large',
      () => formOf(['request', JSON.stringify({ metadata: { a: 'x'.repeat(300_000) } })]),
      413,
      '262144',
    ],
    [
      'a file that is too large',
      () => formOf(['image', new Blob([image, new Uint8Array(3_000_000)])]),
      413,
      '2097152',
    ],
  ])('%s', async (_what, form, status, detail) => {
    const before = service.payloads();
    const answer = await send(form());

    expect([answer.status, answer.body.detail]).toEqual([status, expect.stringContaining(detail)]);
    await until('the upload to be gone', () =>
      service
        .payloads()
        .filter((id) => !before.includes(id))
        .flatMap((id) => service.uploads(id)).length === 0
        ? true
        : undefined,
    );
  });

  test.each([
    ['no boundary', 'multipart/form-data', 'x'],
    [
      'no end',
      'multipart/form-data; boundary=b',
      '--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc',
    ],
    ['no form at all', 'multipart/form-data; boundary=b', 'hello'],
    ['nothing', 'multipart/form-data; boundary=b', ''],
    [
      'a part without a name',
      'multipart/form-data; boundary=b',
      '--b\r\nContent-Disposition: form-data\r\n\r\n{}\r\n--b--\r\n',
    ],
    [
      'a file without a name',
      'multipart/form-data; boundary=b',
      '--b\r\nContent-Disposition: form-data; filename="x"\r\n\r\nabc\r\n--b--\r\n',
    ],
    [
      'a large part that is skipped',
      'multipart/form-data; boundary=b',
      `--b\r\nContent-Disposition: attachment\r\n\r\n${'\0'.repeat(40_000)}\r\n--b--\r\n`,
    ],
  ])(
    'a form with %s',
    async (_what, type, body) => {
      const url = `${service.url}/v1/models/ocr/predictions`;
      const answer = await fetch(url, { method: 'POST', headers: { 'Content-Type': type }, body });
      expect([400, 422]).toContain(answer.status);
      expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
    },
    40_000,
  );

  test('a client that hangs up in the middle of a file', async () => {
    const before = service.payloads();
    const { hostname, port } = new URL(service.url);
    const socket = connect(Number(port), hostname);
    const part = '--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n';
    const bytes = Buffer.from(await image.arrayBuffer());
    socket.write(
      'POST /v1/models/ocr/predictions HTTP/1.1\r\nHost: localhost\r\n' +
        'Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n' +
        part,
    );
    socket.write(bytes);
    const arriving = () => readdirSync(join(service.dataDir, 'payloads', '.incoming')).length;
    await until('the upload to begin', () => (arriving() > 0 ? true : undefined));
    socket.destroy();
    await until('nothing to be left', () =>
      service.payloads().length === before.length && arriving() === 0 ? true : undefined,
    );
    expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
  });
});

test('a history tells of attempts and workers, and holds no payload', async () => {
  const { body } = await send(formOf(['image', image]), 'ocr', { Prefer: 'wait=60' });
  const answer = await fetch(`${service.url}/v1/predictions/${body.id}/history`);
  const { data } = (await answer.json()) as { data: { event: string; worker: string | null }[] };

  expect(data.map(({ event }) => event)).toEqual([
    'accepted',
    'queued',
    'attempt_started',
    'attempt_succeeded',
    'ended',
  ]);
  expect(data[2]?.worker).toMatch(/^inference-/);
  expect(JSON.stringify(data)).not.toContain('sha256');
});
