/* What nobody should send: it costs neither data nor a process, nor anybody else's time. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { Prediction } from '../../src/contract/prediction.ts';
import { Cursors } from '../../src/api/http/cursor.ts';
import { createSecretBox } from '../../src/secrets/secret-box.ts';
import { until } from '../support/conditions.ts';
import { affine, Service } from '../support/service.ts';
import type { TemporalServer } from '../support/temporal.ts';

/** Others must be served meanwhile. */
const PATIENCE_MS = 4000;
const WAITING = 60;
const SECRET = Buffer.alloc(32, 7);

let service: Service<TemporalServer>;
let record: Prediction;

beforeAll(async () => {
  service = await Service.startAlone({
    BUZZER_MAX_WAITING: String(WAITING),
    BUZZER_SECRET_KEY: SECRET.toString('base64'),
    BUZZER_MAX_BUFFERED: '32MiB',
  });
  record = await service.ended((await service.submit('affine', affine())).id);
});
afterAll(async () => {
  await service.close();
});
afterEach(async () => {
  const at = Date.now();
  expect((await fetch(`${service.url}/v1/predictions/${record.id}`)).status).toBe(200);
  expect(Date.now() - at).toBeLessThan(PATIENCE_MS);
});

const order = (more: object = {}) => ({ model: 'affine', input: affine(), ...more });

async function codeOf(answer: Response): Promise<[number, string]> {
  return [answer.status, ((await answer.json()) as { code: string }).code];
}

/** What is answered to bytes as they are; null when the connection is only closed. */
async function raw(
  head: readonly string[],
  body: string | Uint8Array = '',
): Promise<number | null> {
  const socket = await dial();
  const answered = new Promise<number | null>((resolve) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
      if (status !== undefined && status !== '100') resolve(Number(status));
    });
    socket.once('close', () => resolve(null));
  });
  socket.write(`${[...head, 'Host: localhost'].join('\r\n')}\r\n\r\n`);
  socket.write(body);
  const status = await answered;
  socket.destroy();
  return status;
}

async function dial(): Promise<Socket> {
  const { hostname, port } = new URL(service.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  await new Promise((resolve) => {
    socket.once('connect', resolve);
  });
  return socket;
}

describe('answers that nobody reads', () => {
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;

  test('requests of one connection are answered in their order, one after the other', async () => {
    const socket = await dial();
    const paths = [
      '/healthz',
      `/v1/predictions/${record.id}?wait=1`,
      '/v1',
      '/healthz',
      '/nothing',
    ];
    const answers = new Promise<readonly string[]>((resolve) => {
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1');
        const found = text.match(/HTTP\/1\.1 \d{3}/g) ?? [];
        if (found.length === paths.length) resolve(found.map((line) => line.slice(-3)));
      });
    });
    socket.write(paths.map(get).join(''));
    expect(await answers).toEqual(['200', '200', '200', '200', '404']);
    socket.destroy();
  });

  test('a connection that sends requests without end is closed', async () => {
    const socket = await dial();
    const closed = once(socket, 'close');
    socket.pause();
    socket.write(get(`/v1/predictions/${record.id}`).repeat(400));
    socket.resume();
    await closed;
  });

  test('they take only so much memory, and the others are served', async () => {
    const x = [Array.from({ length: 100_000 }, (_, index) => index)];
    const answer = await service.post(JSON.stringify({ model: 'affine', input: { x } }));
    const { id } = await service.ended(((await answer.json()) as Prediction).id);
    const sockets = await Promise.all(Array.from({ length: 120 }, dial));
    for (const socket of sockets) {
      socket.pause(); // 600 KB each: the system's own buffers take the first of them
      socket.write(get(`/v1/predictions/${id}`).repeat(14));
    }
    const refusal = await until(
      'an answer finds no room',
      async () => {
        const asked = await fetch(`${service.url}/v1/predictions/${id}`);
        return asked.status === 503 ? await asked.json() : undefined;
      },
      50_000, // a busy machine takes a while to make so many answers
    );
    expect(refusal).toMatchObject({ code: 'overloaded' });
    expect((await fetch(`${service.url}/v1/predictions/${record.id}`)).status).toBe(200);
    for (const socket of sockets) socket.destroy();
    await until('there is room again', async () => {
      return (await fetch(`${service.url}/v1/predictions/${id}`)).ok ? true : undefined;
    });
  });
});

describe('bodies', () => {
  const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
  const manyKeys = (count: number) =>
    `{${Array.from({ length: count }, (_, i) => `"k${i}":""`).join(',')}}`;
  const whole = JSON.stringify(order());
  const withMember = (member: string) => `${whole.slice(0, -1)},${member}}`;
  const withInput = (input: string) => `{"model":"affine","input":${input}}`;

  test.each<[string, string | Uint8Array, number]>([
    ['an array 100,000 deep', deep(100_000), 422],
    ['an input 100,000 deep', withInput(`{"inputs":${deep(100_000)}}`), 422],
    ['options 100,000 deep', withMember(`"options":{"a":${deep(100_000)}}`), 422],
    ['a body of a million members', manyKeys(700_000), 422],
    ['an input of a million members', withInput(manyKeys(700_000)), 422],
    ['metadata of a million members', withMember(`"metadata":${manyKeys(700_000)}`), 422],
    ['a million tags', withMember(`"tags":[${'"a",'.repeat(700_000)}"a"]`), 422],
    ['__proto__', withMember('"__proto__":{"priority":1}'), 422],
    ['__proto__ in the input', withInput('{"__proto__":{"inputs":[]}}'), 422],
    ['constructor in the options', withMember('"options":{"constructor":{"prototype":{}}}'), 422],
    ['five megabytes of spaces', ' '.repeat(5_000_000), 400],
    ['a good one after five megabytes of spaces', ' '.repeat(5_000_000) + whole, 202],
    ['NUL bytes', '\0\0\0', 400],
    ['NUL in a string', withMember('"tags":["a\\u0000b"]'), 422],
    ['NUL in metadata', withMember('"metadata":{"a":"\\u0000"}'), 202],
    ['half a surrogate in metadata', withMember('"metadata":{"a":"\\ud800"}'), 202],
    ['a byte order mark', `\ufeff${whole}`, 202],
    [
      'invalid UTF-8 in a name',
      Buffer.concat([
        Buffer.from(withMember('"').slice(0, -1)),
        Buffer.from([0xff, 0xfe]),
        Buffer.from('":1}'),
      ]),
      400,
    ],
    ['__proto__ in the options', withMember('"options":{"__proto__":{"a":1}}'), 422],
    ['a member twice', `{"model":"nothing",${whole.slice(1)}`, 202],
    ['nothing', '', 422],
    ['null', 'null', 400],
    ['a number', '1e400', 400],
  ])('%s', async (_what, body, status) => {
    const answer = await fetch(`${service.url}/v1/predictions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body,
    });
    expect([answer.status, await answer.text()]).toEqual([status, expect.anything()]);
  });

  test('gzip that inflates beyond the limit', async () => {
    const bomb = gzipSync(Buffer.alloc(200_000_000, ' '));
    const answer = await fetch(`${service.url}/v1/predictions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' },
      body: bomb,
    });
    expect(await codeOf(answer)).toEqual([413, 'payload_too_large']);
  });

  test('an encoding that nobody knows, and gzip that is none', async () => {
    const send = async (encoding: string) =>
      await service.post(JSON.stringify(order()), { 'Content-Encoding': encoding });
    expect(await codeOf(await send('zstd'))).toEqual([415, 'unsupported_media_type']);
    expect(await codeOf(await send('gzip'))).toEqual([400, 'malformed_request']);
  });
});

describe('ids', () => {
  const huge = `pred_${'a'.repeat(10_000)}`;
  test.each([
    ['dots', '..', 404],
    ['encoded dots', '%2e%2e', 400],
    ['a path', '..%2f..%2fetc%2fpasswd', 400],
    ['an encoded slash', 'pred_%2f', 400],
    ['an encoded NUL', 'pred_%00', 400],
    ['half an escape', 'pred_%E0%A4%A', 400],
    ['ten kilobytes', huge, 400],
    ['a quote', "pred_'%20OR%201=1", 400],
    ['capitals', 'PRED_01KB6V0X3DQ2M8C5N7W9T4HJRE', 400],
    ['a delivery', 'pred_01kb6v0x3dq2m8c5n7w9t4hjre.webhook', 400],
    ['spaces around', '%20pred_01kb6v0x3dq2m8c5n7w9t4hjre%20', 400],
  ])('%s', async (_what, id, status) => {
    // As it is: fetch would take the dots away.
    for (const [method, path] of [
      ['GET', '/output'],
      ['GET', '/events'],
      ['GET', '/history'],
      ['POST', '/cancel'],
    ]) {
      const found = await raw([`${method} /v1/predictions/${id}${path} HTTP/1.1`]);
      expect([path, found]).toEqual([path, id === '..' ? 400 : status]);
    }
  });
});

describe('numbers', () => {
  const LIMITS = [
    '-1',
    '0',
    '101',
    '1.5',
    '1e3',
    '99999999999999999999',
    'ten',
    '',
    '0x10',
    ' 5',
    'NaN',
  ];
  test.each(LIMITS)('limit=%j', async (limit) => {
    const url = `${service.url}/v1/predictions?limit=${encodeURIComponent(limit)}`;
    expect(await codeOf(await fetch(url))).toEqual([400, 'malformed_request']);
  });
  test('a cursor of ours that the server does not know any more', async () => {
    const cursors = new Cursors(createSecretBox([SECRET]));
    const cursor = cursors.write(['predictions', 'default', {}], Buffer.from('of another'));
    const answer = await fetch(`${service.url}/v1/predictions?cursor=${cursor}`);
    expect(await codeOf(answer)).toEqual([400, 'malformed_request']);
  });
  test.each(['9999-12-31T23:59:59-23:59', '0000-01-01T00:00:00Z', 'today', '1'])(
    'created_after=%j',
    async (time) => {
      const url = `${service.url}/v1/predictions?created_after=${encodeURIComponent(time)}`;
      expect(await codeOf(await fetch(url))).toEqual([400, 'malformed_request']);
    },
  );
  test.each(['-1', '61', '1.23456', '1e1', 'ten', 'Infinity', '99999999999999999999'])(
    'wait=%j',
    async (wait) => {
      const url = `${service.url}/v1/predictions/${record.id}?wait=${wait}`;
      expect(await codeOf(await fetch(url))).toEqual([400, 'malformed_request']);
    },
  );
  test.each([0, 6, -1, 1.5, 1e300, '3', null, true])('priority %j', async (priority) => {
    expect(await codeOf(await service.post(order({ priority })))).toEqual([422, 'invalid_input']);
  });
  test.each(['0s', '-1s', '1', 's', '1e3s', '99999999h', '31d', '1y', ' 1s', ''])(
    'deadline, queue_ttl and run_timeout %j',
    async (text) => {
      for (const name of ['deadline', 'queue_ttl', 'run_timeout']) {
        const answer = await service.post(order({ [name]: text }));
        expect([name, ...(await codeOf(answer))]).toEqual([name, 422, 'invalid_input']);
      }
    },
  );
  test.each(['-1', '99999999999999999999', '1.5', 'ten', '1, 2'])(
    'Content-Length: %s',
    async (length) => {
      const head = ['POST /v1/predictions HTTP/1.1', 'Content-Type: application/json'];
      expect(await raw([...head, `Content-Length: ${length}`])).toBe(400);
    },
  );
});

describe('headers', () => {
  const body = JSON.stringify(order());
  const head = [
    'POST /v1/predictions HTTP/1.1',
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
  ];
  test.each([
    ['two keys', ['Idempotency-Key: a', 'Idempotency-Key: b'], 400],
    ['two lengths', [`Content-Length: ${body.length + 1}`], 400],
    ['a length and chunks', ['Transfer-Encoding: chunked'], 400],
    ['two deadlines', ['Cancel-After: 1h', 'Cancel-After: 2h'], 400],
    ['two hosts', ['Host: evil.example.com'], 400],
    ['a header of 100 KB', [`X-Long: ${'x'.repeat(100_000)}`], 431],
    ['a line break in a key', ['Idempotency-Key: a\rb'], 400],
  ])('%s', async (_what, more, status) => {
    expect(await raw([...head, ...more], body)).toBe(status);
  });

  test('a host that is not ours, and a page that is not ours, are refused where there are no keys', async () => {
    const { hostname, port } = new URL(service.url);
    const socket = connect(Number(port), hostname);
    const text = new Promise<string>((resolve) => {
      socket.once('data', (chunk) => resolve(chunk.toString()));
    });
    socket.write('GET /v1/webhook_secret HTTP/1.1\r\nHost: rebound.example.com\r\n\r\n');
    expect(await text).toMatch(/^HTTP\/1\.1 403/);
    socket.destroy();
    const answer = await service.post(order(), { Origin: 'https://evil.example.com' });
    expect(await codeOf(answer)).toEqual([403, 'forbidden']);
    expect((await service.post(order(), { Origin: service.url })).status).toBe(202);
  });
});

describe('a client that sends everything before it reads gets its answer', () => {
  const large = (path: string, more: readonly string[] = []) =>
    [`POST ${path} HTTP/1.1`, 'Content-Type: application/json', ...more].join('\r\n');
  const raw = (path: string, type: string) => `POST ${path} HTTP/1.1\r\nContent-Type: ${type}`;
  test.each<[string, string, number]>([
    ['413 for a body beyond the limit', large('/v1/predictions'), 413],
    ['404 for a path that is not there', large('/v1/nothing'), 404],
    ['405 for a method', large('/v1/models'), 405],
    ['400 for a query', large('/v1/predictions?a=1'), 400],
    ['404 for a model', large('/v2/models/nothing/infer'), 404],
    ['431 for its headers', large('/v1/predictions', [`X-Long: ${'x'.repeat(100_000)}`]), 431],
    ['400 for what is no HTTP', 'NONSENSE', 400],
    ['422 for what is no image', raw('/v1/models/ocr/predictions', 'image/png'), 422],
    ['415 for a model that takes no media', raw('/v1/models/affine/predictions', 'image/png'), 415],
  ])('%s', async (_what, head, status) => {
    const socket = await dial();
    const body = Buffer.alloc(30_000_000, ' ');
    socket.pause();
    const wasReset = new Promise<boolean>((resolve) => {
      socket.once('error', () => resolve(true));
      socket.write(`${head}\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n`);
      socket.write(body, () => resolve(false));
    });
    expect(await wasReset).toBe(false);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.resume();
    await until('an answer', () => (text.includes('\r\n\r\n') ? true : undefined));
    expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(text).toMatch(/Content-Type: application\/(?:problem\+)?json/);
    socket.destroy();
  });
});

test('a client that goes on sending for longer than our patience with silence gets its answer too', async () => {
  const socket = await dial();
  socket.pause();
  let wasReset = false;
  socket.once('error', () => {
    wasReset = true;
  });
  socket.write('POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000000\r\n\r\n');
  const sending = setInterval(() => socket.write(Buffer.alloc(1000)), 100);
  await pause(7000); // two seconds more
  clearInterval(sending);
  expect(wasReset).toBe(false);
  const [first] = (await once(socket.resume(), 'data')) as [Buffer];
  expect(first.toString()).toMatch(/^HTTP\/1\.1 404/);
  socket.destroy();
});

test('what is no HTTP is never answered in the middle of another answer', async () => {
  const { id } = (await (await service.post(order({ start_after: '1h' }))).json()) as Prediction;
  const socket = await dial();
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString();
  });
  socket.write(`GET /v1/predictions/${id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  await until('its first event', () => (text.includes('event: prediction') ? true : undefined));
  socket.write('NONSENSE\r\n\r\n');
  await once(socket, 'close');
  expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
});

describe('slow ones', () => {
  test('a hundred bodies that never end keep nobody from being served', async () => {
    const sockets = await Promise.all(Array.from({ length: 100 }, dial));
    for (const socket of sockets) {
      socket.write(
        'POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
      );
    }
    const { status } = await service.ended((await service.submit('affine', affine())).id);
    expect(status).toBe('succeeded');
    for (const socket of sockets) socket.destroy();
  });

  test('listeners that do not read hold nobody up, and learn the end when they do', async () => {
    const held = await service.post(order({ start_after: '2s' }));
    const { id } = (await held.json()) as Prediction;
    const sockets = await Promise.all(Array.from({ length: 50 }, dial));
    for (const socket of sockets) {
      socket.pause();
      socket.write(`GET /v1/predictions/${id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    }
    await service.ended(id);
    const last = sockets.map(async (socket) => {
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString();
      });
      socket.resume();
      await until('the end', () => (text.includes('"succeeded"') ? true : undefined));
      socket.destroy();
    });
    await Promise.all(last);
  });

  test('clients that hang up while they wait leave their places to others', async () => {
    const held = await service.post(order({ start_after: '1h' }));
    const { id } = (await held.json()) as Prediction;
    const url = `${service.url}/v1/predictions/${id}`;
    const stop = new AbortController();
    const waits = Array.from({ length: WAITING + 10 }, async () => {
      while (!stop.signal.aborted) {
        await fetch(`${url}?wait=60`, { signal: stop.signal }).catch(() => {});
      }
    });
    const eventsStatus = async () => {
      const leave = new AbortController();
      const { status } = await fetch(`${url}/events`, { signal: leave.signal });
      leave.abort();
      return status;
    };
    await until('no place', async () => ((await eventsStatus()) === 503 ? true : undefined));
    stop.abort();
    await Promise.all(waits);
    await until('a place', async () => ((await eventsStatus()) === 200 ? true : undefined));
  });
});

test('with Temporal frozen every answer comes in time, and all is well when it thaws', async () => {
  service.temporal.pause();
  try {
    const at = Date.now();
    const asked = [
      fetch(`${service.url}/v1/predictions/${record.id}`),
      fetch(`${service.url}/v1/predictions`),
      service.post(order()),
      service.cancel(record.id),
      fetch(`${service.url}/readyz`),
    ];
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    expect(statuses).toEqual([503, 503, 503, 503, 503]);
    expect(Date.now() - at).toBeLessThan(4 * 5000); // four times what is promised
  } finally {
    service.temporal.resume();
  }
  const after = await until('it to thaw', async () => {
    return await service.submit('affine', affine()).catch(() => undefined);
  });
  expect(await service.ended(after.id)).toMatchObject({ status: 'succeeded' });
});
