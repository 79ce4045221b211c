/* What lies in the store is treated as if a stranger had written it, and there is only so much room. */
import {
  appendFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { get as httpGet } from 'node:http';
import { join } from 'node:path';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { TestKeys } from '../support/keys.ts';
import { affine, Service } from '../support/service.ts';

let service: Service;
const payloads = (...path: readonly string[]): string => join(service.dataDir, 'payloads', ...path);
const codeOf = async (answer: Response): Promise<[number, string]> => [
  answer.status,
  ((await answer.json()) as { code: string }).code,
];
const read = async (id: string, path = ''): Promise<Response> =>
  await fetch(`${service.url}/v1/predictions/${id}${path}`);

describe('bytes that are not those that were stored', () => {
  beforeAll(async () => {
    service = await Service.start({ BUZZER_ENGINE_INLINE_LIMIT: '0' });
  });
  afterAll(async () => await service.close());

  /** The file of an ended prediction's output. */
  async function stored(): Promise<{ id: string; file: string }> {
    const { id } = await service.ended((await service.submit('affine', affine())).id);
    const folder = payloads('predictions', 'default', id);
    const name = (await readdir(folder)).find((each) => each.startsWith('output'));
    return { id, file: join(folder, name ?? '') };
  }

  test.each<[string, (file: string) => Promise<void>]>([
    [
      'a changed output',
      async (file) => await writeFile(file, (await readFile(file, 'utf8')).replace('3', '4')),
    ],
    ['a truncated output', async (file) => await truncate(file, 10)],
    ['a longer output', async (file) => await appendFile(file, 'HTTP/1.1 200 OK')],
  ])('%s is never served, and is loud in the log', async (_what, change) => {
    const { id, file } = await stored();
    await change(file);
    expect(await codeOf(await read(id, '/output'))).toEqual([500, 'payload_corrupt']);
    expect(await codeOf(await read(id))).toEqual([500, 'payload_corrupt']);
    for (const path of ['/v1/predictions', '/v1/predictions?include=output']) {
      expect([path, (await fetch(`${service.url}${path}`)).status]).toEqual([path, 200]);
    }
    expect((await service.cancel(id)).status).toBe(200);
    await until('it in the log', () =>
      service.api.output.includes('is damaged') ? true : undefined,
    );
    expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
  });

  test('an answer has the bytes of its payload and no more, on a connection that is used again', async () => {
    const { id, file } = await stored();
    const { port } = new URL(service.url);
    await appendFile(file, 'x'.repeat(100));
    const { Agent } = await import('node:http');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const statusOf = async (path: string) =>
      await new Promise<number>((resolve, reject) => {
        httpGet({ agent, port, path }, (response) => {
          response.resume().once('end', () => resolve(response.statusCode ?? 0));
        }).once('error', reject);
      });
    expect(await statusOf(`/v1/predictions/${id}/output`)).toBe(500);
    expect(await statusOf('/healthz')).toBe(200);
    agent.destroy();
  });

  test.each<[string, (file: string) => Promise<void>, string]>([
    [
      'changed',
      async (file) => await writeFile(file, Buffer.alloc((await stat(file)).size, ' ')),
      'payload_corrupt',
    ],
    ['cut', async (file) => await truncate(file, 3), 'payload_corrupt'],
    ['gone', async (file) => await rm(file), 'payload_missing'],
  ])('an input that is %s is not inferred, and not tried again', async (_how, change, code) => {
    const held = await service.post({ model: 'affine', input: affine(), start_after: '2s' });
    const { id } = (await held.json()) as Prediction;
    const folder = payloads('predictions', 'default', id, 'input');
    const [name = ''] = await readdir(folder);
    await change(join(folder, name));
    const record = await service.ended(id);
    expect(record).toMatchObject({
      status: 'failed',
      attempt: 1,
      error: { code, retryable: false },
    });
  });

  test('a retry of a prediction whose input was changed is refused', async () => {
    const { id } = await service.ended((await service.submit('affine', affine())).id);
    const folder = payloads('predictions', 'default', id, 'input');
    const [name = ''] = await readdir(folder);
    await writeFile(join(folder, name), 'something else');
    const answer = await fetch(`${service.url}/v1/predictions/${id}/retry`, { method: 'POST' });
    expect(await codeOf(answer)).toEqual([500, 'payload_corrupt']);
  });
});

describe('files of strangers', () => {
  beforeAll(async () => {
    service = await Service.start();
  });
  afterAll(async () => await service.close());

  test.each([
    ['no JSON', 'nothing'],
    ['null', 'null'],
    ['an empty object', '{}'],
    ['an array', '[]'],
    ['no models', JSON.stringify({ worker: 'w', updated_at: new Date().toISOString() })],
    [
      'models of another kind',
      JSON.stringify({ worker: 'w', updated_at: new Date().toISOString(), models: [null, 1] }),
    ],
    ['something huge', ' '.repeat(5_000_000)],
  ])('a worker state that is %s is skipped, said once and removed', async (_what, content) => {
    const file = payloads('workers', 'stranger.json');
    await mkdir(payloads('workers'), { recursive: true });
    await writeFile(file, content);
    await until('it to be removed', async () => {
      const paths: [string, string][] = [
        ['GET', '/v1/models'],
        ['GET', '/v1/models/affine'],
        ['GET', '/v2/models/affine/ready'],
        ['POST', '/v2/repository/index'],
      ];
      for (const [method, path] of paths) {
        expect([path, (await fetch(`${service.url}${path}`, { method })).status]).toEqual([
          path,
          200,
        ]);
      }
      return await stat(file).then(
        () => undefined,
        () => true,
      );
    });
    const told = service.api.output.split('no worker state').length - 1;
    expect(told).toBeGreaterThan(0);
    expect((await service.model('affine')).state).not.toBe('no_worker'); // the real one is still there
  });

  test('what is no tombstone buries nothing', async () => {
    const { id } = await service.ended((await service.submit('affine', affine())).id);
    await mkdir(payloads('tombstones'), { recursive: true });
    for (const content of ['{}', 'null', 'nothing', '{"id":1}', JSON.stringify({ id: 'other' })]) {
      await writeFile(payloads('tombstones', id), content);
      expect((await read(id)).status).toBe(200);
      expect((await fetch(`${service.url}/v1/predictions`)).status).toBe(200);
    }
  });

  test('a generation of a stranger does not keep a tenant from its secret', async () => {
    const secret = async () => (await fetch(`${service.url}/v1/webhook_secret`)).status;
    expect(await secret()).toBe(200);
    await writeFile(payloads('tenants', 'default', 'webhook-secret', 'zzz'), '{}');
    expect(await secret()).toBe(200);
  });

  test('tokens of a dead worker that are none are removed, and said once', async () => {
    const folder = join(service.dataDir, 'workers');
    const [own = ''] = await readdir(folder);
    const owner = await readFile(join(folder, own, 'owner.json'), 'utf8');
    const dead = join(folder, '00000000-0000-4000-8000-000000000000');
    await mkdir(dead);
    await rename(await deadSocket(dead), join(dead, 'alive'));
    const contents = ['{}', 'nothing', 'null', JSON.stringify({ prediction: 'p', token: 'AAAA' })];
    for (const [index, content] of contents.entries()) {
      await writeFile(join(dead, `${index + 1}.json`), content);
    }
    await writeFile(
      join(dead, 'owner.json'),
      owner.replace(/"identity":"[^"]*"/, '"identity":"dead"'),
    );
    await until('the folder to be gone', async () =>
      (await readdir(folder)).includes('00000000-0000-4000-8000-000000000000') ? undefined : true,
    );
    const { output } = service.inference;
    expect(output.split('no token of an attempt').length - 1).toBe(4);
    expect(output).not.toContain('cannot report');
  });

  test('a folder of incoming payloads that is a file is the store’s failure, not ours', async () => {
    await rename(payloads('.incoming'), payloads('.incoming-aside'));
    await writeFile(payloads('.incoming'), 'a file');
    try {
      const answer = await fetch(`${service.url}/v1/models/ocr/predictions`, {
        method: 'POST',
        headers: { 'Content-Type': 'image/png' },
        body: await readFile('examples/page.png'),
      });
      expect(await codeOf(answer)).toEqual([503, 'storage_unavailable']);
      const ready = await until('it to be noticed', async () => {
        const found = await fetch(`${service.url}/readyz`);
        return found.status === 503 ? await found.text() : undefined;
      });
      expect(ready).not.toContain(service.dataDir);
      expect(JSON.parse(ready)).toMatchObject({
        checks: { engine: 'ok', storage: 'the payload store cannot be used' },
      });
    } finally {
      await rm(payloads('.incoming'));
      await rename(payloads('.incoming-aside'), payloads('.incoming'));
    }
  });
});

/** A socket on which nobody listens any more. */
async function deadSocket(folder: string): Promise<string> {
  const { createServer } = await import('node:net');
  const path = join(folder, 's');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const kept = join(folder, 'kept');
  await rename(path, kept); // closing removes the path that it was bound to
  await new Promise((resolve) => server.close(resolve));
  return kept;
}

describe('room', () => {
  const page = async () => await readFile('examples/page.png');
  const upload = async (headers: Record<string, string> = {}): Promise<Response> =>
    await fetch(`${service.url}/v1/models/ocr/predictions`, {
      method: 'POST',
      headers: { 'Content-Type': 'image/png', ...headers },
      body: await page(),
    });

  test('below the reserve of the disk uploads are refused; reading, canceling and deleting go on', async () => {
    service = await Service.start({ BUZZER_STORAGE_RESERVE: '1000000GiB' });
    try {
      expect(await codeOf(await upload())).toEqual([503, 'storage_unavailable']);
      const { id } = await service.ended((await service.submit('affine', affine())).id);
      expect((await read(id)).status).toBe(200);
      expect((await service.cancel(id)).status).toBe(200);
      expect(
        (await fetch(`${service.url}/v1/predictions/${id}`, { method: 'DELETE' })).status,
      ).toBe(204);
      expect((await read(id)).status).toBe(410);
    } finally {
      await service.close();
    }
  });

  test('a tenant has so much room, and what it deletes is room again', async () => {
    const keys = await TestKeys.create();
    const scopes = ['predict', 'read'] as const;
    const [{ headers: mine }, { headers: theirs }] = [
      await keys.add('a', [...scopes]),
      await keys.add('b', [...scopes]),
    ];
    service = await Service.start(
      { BUZZER_KEYS_FILE: keys.path, BUZZER_TENANT_STORAGE: '100KiB' },
      ['api', 'orchestration'],
    );
    try {
      const first = (await (await upload(mine)).json()) as Prediction;
      expect((await upload(mine)).status).toBe(202); // 46 KB each
      expect(await codeOf(await upload(mine))).toEqual([429, 'storage_limit']);
      expect((await upload(theirs)).status).toBe(202);
      const url = `${service.url}/v1/predictions/${first.id}`;
      await fetch(`${url}/cancel`, { method: 'POST', headers: mine });
      await until('it to be deleted', async () =>
        (await fetch(url, { method: 'DELETE', headers: mine })).status === 204 ? true : undefined,
      );
      expect((await upload(mine)).status).toBe(202);
    } finally {
      await service.close();
      await keys.close();
    }
  });
});
