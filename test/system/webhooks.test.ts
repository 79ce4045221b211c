/* Webhooks from the request to real receivers, of every kind that there is. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import type { Prediction } from '../../src/contract/prediction.ts';
import type { DeliveryState } from '../../src/contract/webhook.ts';
import { until } from '../support/conditions.ts';
import { pythonWith } from '../support/python.ts';
import { type Received, type Receiver, startReceiver } from '../support/receiver.ts';
import { affine, burn, Service } from '../support/service.ts';

type Delivery = DeliveryState & { id: string; object: string };

/** What a receiver behaves like, by path. */
const STATUS: Readonly<Record<string, number>> = {
  '/500': 500,
  '/410': 410,
  '/302': 302,
  '/429': 429,
};

let service: Service;
let receiver: Receiver;
let secretsSeen: string[];

beforeAll(async () => {
  receiver = await startReceiver((path, response, count) => {
    if (path === '/kill' && count === 1) {
      process.kill(service.orchestration.pid, 'SIGSTOP'); // it will find the answer, and not read it
    }
    if (path === '/mended' && count < 3) response.statusCode = 503;
    else response.statusCode = STATUS[path] ?? 200;
    if (path === '/302') response.setHeader('Location', `${receiver.url}/moved`);
    if (path === '/429') response.setHeader('Retry-After', '2');
    response.end(`answer ${count}`);
  });
  service = await Service.start({
    BUZZER_OUTBOUND_ALLOW: 'http://127.0.0.1',
    BUZZER_WEBHOOK_SCHEDULE: '0s,100ms,1h',
    NODE_EXTRA_CA_CERTS: 'test/fixtures/tls/trusted.cert.pem',
  });
  secretsSeen = [await currentSecret()];
});
afterAll(async () => {
  await service.close();
  await receiver.close();
});

const call = async (path: string, method = 'GET', body?: unknown) =>
  await fetch(`${service.url}/v1${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
  });
const answerOf = async <T>(path: string, method = 'GET', body?: unknown): Promise<T> =>
  (await (await call(path, method, body)).json()) as T;
const currentSecret = async () => (await answerOf<{ secret: string }>('/webhook_secret')).secret;

async function predict(webhook?: unknown, model = 'affine', input: unknown = affine()) {
  const response = await service.post({ model, input, webhook: webhook ?? null });
  const record = (await response.json()) as Prediction;
  if (response.status !== 202) throw new Error(JSON.stringify(record));
  return record.id;
}
const deliveriesOf = async (id: string) =>
  (await answerOf<{ data: Delivery[] }>(`/predictions/${id}/webhook`)).data;

/** The only delivery of a prediction, once it satisfies `check`. */
async function delivery(
  id: string,
  what: string,
  check: (delivery: Delivery) => boolean,
  patienceMs?: number,
): Promise<Delivery> {
  return await until(
    `the delivery of ${id} ${what}`,
    async () => (await deliveriesOf(id)).find(check),
    patienceMs,
  );
}
const settled = async (id: string) =>
  await delivery(id, 'to settle', ({ status, attempts }) => {
    return status !== 'pending' || attempts.length >= 2;
  });

const verify = (secret: string, { body, headers }: Received) =>
  new Webhook(secret).verify(body, headers as Record<string, string>) as {
    type: string;
    timestamp: string;
    data: Prediction;
  };

async function pythonVerdicts(messages: readonly { secret: string; message: Received }[]) {
  const python = await pythonWith('webhook-client', 'test/clients/webhook-requirements.txt');
  const input = JSON.stringify(
    messages.map(({ secret, message }) => ({ secret, ...message, path: undefined })),
  );
  const output = execFileSync(python, ['test/clients/webhook_client.py'], { input });
  return JSON.parse(output.toString()) as string[];
}

test('the end is told with the record, signed as two libraries verify, and the story can be read', async () => {
  const id = await predict(`${receiver.url}/ok`);
  const [message] = await receiver.at('/ok');
  if (message === undefined) throw new Error('nothing came');
  const secret = await currentSecret();
  const record = await service.ended(id);
  const told = verify(secret, message);
  const found = await delivery(id, 'to be delivered', ({ status }) => status === 'delivered');

  expect(told).toEqual({
    type: 'prediction.succeeded',
    timestamp: record.completed_at,
    data: record,
  });
  expect(record.webhook).toMatchObject({ url: `${receiver.url}/ok` });
  expect(message.headers).toMatchObject({
    'webhook-id': id.replace('pred_', 'evt_'),
    'content-type': 'application/json',
    'user-agent': 'Buzzer',
  });
  expect(await pythonVerdicts([{ secret, message }])).toEqual(['prediction.succeeded']);
  expect(found).toMatchObject({
    id: `${id}.webhook`,
    object: 'webhook_delivery',
    prediction: id,
    endpoint: null,
    next_attempt_at: null,
    attempts: [{ number: 1, origin: receiver.url, status: 200, error: null, answer: 'answer 1' }],
  });
  const toldAfterMs = message.atMs - Date.parse(record.completed_at ?? '');
  expect(toldAfterMs).toBeLessThan(4 * 250);
});

test('during a rotation a message carries both signatures, and every library accepts either', async () => {
  const before = await currentSecret();
  const rotated = await answerOf<{ secret: string; previous: { secret: string }[] }>(
    '/webhook_secret/rotate',
    'POST',
  );
  secretsSeen.push(rotated.secret);
  await predict(`${receiver.url}/rotated`);
  const [message] = await receiver.at('/rotated');
  if (message === undefined) throw new Error('nothing came');

  expect(rotated.previous).toEqual([{ secret: before, expires_at: expect.any(String) as unknown }]);
  expect(verify(rotated.secret, message).type).toBe('prediction.succeeded');
  expect(verify(before, message).type).toBe('prediction.succeeded');
  expect(
    await pythonVerdicts([
      { secret: rotated.secret, message },
      { secret: before, message },
      { secret: `whsec_${Buffer.alloc(32).toString('base64')}`, message },
    ]),
  ).toEqual(['prediction.succeeded', 'prediction.succeeded', expect.stringMatching(/^refused/)]);
});

test('only what was asked for is told; a failure and a cancel are told as such', async () => {
  const only = (...events: string[]) => ({ url: `${receiver.url}/only`, events });
  const succeeded = await predict(only('prediction.failed', 'prediction.canceled'));
  const image = { image: `data:image/png;base64,${pngHeader.toString('base64')}` };
  const failed = await predict(only('prediction.failed'), 'ocr', image);
  const canceled = await predict(only('prediction.canceled'), 'burn', burn(60));
  await service.processing(canceled);
  await service.cancel(canceled);
  const messages = await receiver.at('/only', 2);
  const secret = await currentSecret();
  const told = messages.map((message) => verify(secret, message));
  await service.ended(succeeded);

  expect(told.find(({ data }) => data.id === failed)).toMatchObject({
    type: 'prediction.failed',
    data: { status: 'failed', error: { code: 'invalid_input' } },
  });
  expect(told.find(({ data }) => data.id === canceled)).toMatchObject({
    type: 'prediction.canceled',
    data: { status: 'canceled' },
  });
  expect(await deliveriesOf(succeeded)).toEqual([]);
});

/** A PNG that ends behind its header: accepted, and found broken when it is decoded. */
const pngHeader = Buffer.from(
  '89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489',
  'hex',
);

test.each([
  ['500', '/500', { status: 500, error: { code: 'refused' } }, 'pending'],
  ['410', '/410', { status: 410, error: { code: 'refused' } }, 'gone'],
  ['302', '/302', { status: 302, error: { code: 'redirected' } }, 'pending'],
])('a receiver that answers %s: each attempt is shown', async (_what, path, attempt, status) => {
  const id = await predict(`${receiver.url}${path}`);
  const found = await settled(id);
  const messages = (await receiver.at(path)).filter(({ body }) => body.includes(id));

  expect(found).toMatchObject({
    status,
    attempts: [attempt, ...(status === 'gone' ? [] : [attempt])],
  });
  expect(new Set(messages.map(({ headers }) => headers['webhook-id']))).toHaveProperty('size', 1);
  expect(new Set(messages.map(({ body }) => body)).size).toBe(1);
  expect(receiver.received.some(({ path: to }) => to === '/moved')).toBe(false);
  if (status === 'pending') {
    const inMs = Date.parse(found.next_attempt_at ?? '') - Date.now();
    expect(inMs).toBeGreaterThan(3_500_000); // an hour
  }
});

test('429 with Retry-After puts the next attempt off', async () => {
  await predict(`${receiver.url}/429`);
  const [first, second] = await receiver.at('/429', 2);

  expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(2000);
});

describe('receivers that misbehave', () => {
  const sockets = new Set<Socket>();
  const servers: { close(): void }[] = [];
  const listen = async (server: ReturnType<typeof createTcpServer>, scheme = 'http') => {
    servers.push(server);
    server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})));
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  };
  const tls = async (name: string) => {
    const key = readFileSync(`test/fixtures/tls/${name}.key.pem`);
    const cert = readFileSync(`test/fixtures/tls/${name}.cert.pem`);
    const server = createTlsServer({ key, cert }, (request, response) => {
      request.resume().on('end', () => response.end('by TLS'));
    });
    return await listen(server, 'https');
  };
  afterAll(() => {
    for (const server of servers) server.close();
    for (const socket of sockets) socket.destroy();
  });

  test('one that hangs or drips is given up after 15 s, while others are told at once', async () => {
    const hangs = await listen(createTcpServer((socket) => socket.resume()));
    const drips = await listen(
      createTcpServer((socket) => {
        socket.resume();
        const text = 'HTTP/1.1 200 OK\r\nX-Long: ';
        let at = 0;
        const timer = setInterval(() => socket.write(text[at++] ?? 'x'), 1000);
        socket.once('close', () => clearInterval(timer));
      }),
    );
    const slow = await Promise.all([hangs, drips].map(async (url) => await predict(url)));
    const startedAt = Date.now();
    for (let count = 1; count <= 5; count++) {
      await predict(`${receiver.url}/beside`);
      await receiver.at('/beside', count);
    }
    const besideMs = (Date.now() - startedAt) / 5;
    const ended = slow.map(async (id) => {
      const hasTried = ({ attempts }: Delivery) => attempts.length >= 1;
      return (await delivery(id, 'to be tried', hasTried, 40_000)).attempts[0];
    });

    for (const attempt of await Promise.all(ended)) {
      expect(attempt).toMatchObject({ status: null, error: { code: 'timeout' } });
      expect(attempt?.duration_ms).toBeGreaterThanOrEqual(15_000);
      expect(attempt?.duration_ms).toBeLessThan(4 * 15_000);
    }
    expect(besideMs).toBeLessThan(4 * 500);
  });

  test('one that resets, that nobody vouches for, and that answers a gigabyte', async () => {
    const resets = await predict(
      await listen(createTcpServer((socket) => socket.resetAndDestroy())),
    );
    const upgrades = await predict(
      await listen(
        createTcpServer((socket) => {
          const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
          socket.resume().write(`HTTP/1.1 101 Switching Protocols\r\n${upgrade}`);
        }),
      ),
    );
    const untrusted = await predict(await tls('untrusted'));
    const trusted = await predict(await tls('trusted'));
    let sentBytes = 0;
    const gigabyte = await predict(
      await listen(
        createTcpServer((socket) => {
          socket.resume().write('HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n');
          const chunk = Buffer.alloc(65_536, 'x');
          const pump = () => {
            while (!socket.destroyed && socket.write(chunk)) sentBytes += chunk.length;
          };
          socket.on('drain', pump);
          pump();
        }),
      ),
    );

    expect((await settled(resets)).attempts[0]).toMatchObject({ error: { code: 'unreachable' } });
    expect((await settled(upgrades)).attempts[0]).toMatchObject({ error: { code: 'bad_answer' } });
    expect((await settled(untrusted)).attempts[0]).toMatchObject({ error: { code: 'tls_failed' } });
    expect(await settled(trusted)).toMatchObject({
      status: 'delivered',
      attempts: [{ status: 200, answer: 'by TLS' }],
    });
    const { status, attempts } = await settled(gigabyte);
    expect(status).toBe('delivered');
    expect(attempts[0]?.answer).toBe('x'.repeat(2048));
    expect(sentBytes).toBeLessThan(50_000_000);
  });
});

test('an origin is sent at most four at once, and the rest in time', async () => {
  let running = 0;
  let most = 0;
  const slow = await startReceiver((_path, response) => {
    most = Math.max(most, (running += 1));
    setTimeout(() => {
      running -= 1;
      response.end();
    }, 200);
  });
  await Promise.all(Array.from({ length: 24 }, async () => await predict(`${slow.url}/slow`)));
  await slow.at('/slow', 24);
  await slow.close();

  expect(most).toBeLessThanOrEqual(4);
  expect(most).toBeGreaterThan(1);
});

test('killed between the 200 and its acknowledgement: told twice, with the same id and body', async () => {
  const id = await predict(`${receiver.url}/kill`);
  await receiver.at('/kill');
  await service.orchestration.signal('SIGKILL');
  await service.orchestration.start();
  const [first, second] = await receiver.at('/kill', 2);
  const found = await delivery(id, 'to be delivered', ({ status }) => status === 'delivered');

  expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id']);
  expect(second?.body).toBe(first?.body);
  expect(found.attempts).toMatchObject([{ number: 1, status: 200 }]); // the first was never noted
});

test('a reset prediction ends anew and is not told twice', async () => {
  const id = await predict(`${receiver.url}/reset`);
  const first = await service.ended(id);
  await delivery(id, 'to be delivered', ({ status }) => status === 'delivered');
  const reset = ['workflow', 'reset', '--workflow-id', id, '--type=FirstWorkflowTask'];
  await service.temporalCli(...reset, '--reason=test');
  await service.readUntil(id, 'to end again', ({ completed_at: at }) => {
    return at !== null && at !== first.completed_at;
  });
  await until('the workflow to close', async () => {
    const text = await service.temporalCli('workflow', 'describe', '-w', id, '-o', 'json');
    return text.includes('"WORKFLOW_EXECUTION_STATUS_COMPLETED"') ? true : undefined;
  });
  await predict(`${receiver.url}/after-reset`);
  await receiver.at('/after-reset');

  expect(await receiver.at('/reset')).toHaveLength(1);
});

test('redelivery: a running one is tried at once, an ended one begins anew, with its past', async () => {
  const id = await predict(`${receiver.url}/mended`);
  await settled(id); // two attempts failed; the third is an hour away
  const again = await call(`/predictions/${id}/webhook/redeliver`, 'POST');
  const mended = await delivery(id, 'to be delivered', ({ status }) => status === 'delivered');
  await call(`/predictions/${id}/webhook/redeliver`, 'POST', {});
  const told = await delivery(id, 'to be told again', ({ attempts }) => attempts.length === 4);
  const messages = await receiver.at('/mended', 4);

  expect(again.status).toBe(202);
  expect(mended.attempts.map(({ status }) => status)).toEqual([503, 503, 200]);
  expect(told.attempts.map(({ number }) => number)).toEqual([1, 2, 3, 4]);
  expect(new Set(messages.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  expect(new Set(messages.map(({ body }) => body)).size).toBe(1);
});

test('redelivered while an attempt is under way, it is not told twice', async () => {
  let answer: () => void = () => {};
  const slow = await startReceiver((_path, response) => {
    answer = () => response.end('at last');
  });
  const id = await predict(`${slow.url}/slow`);
  await slow.at('/slow');
  const again = await call(`/predictions/${id}/webhook/redeliver`, 'POST');
  answer();
  const told = await delivery(id, 'to be delivered', ({ status }) => status === 'delivered');
  const { length } = slow.received;
  await slow.close();

  expect(again.status).toBe(202);
  expect(told.attempts).toMatchObject([{ number: 1, status: 200, answer: 'at last' }]);
  expect(length).toBe(1);
});

test('what cannot be redelivered is said', async () => {
  const running = await predict(`${receiver.url}/running`, 'burn', burn(60));
  const untold = await predict();
  await service.ended(untold);
  const path = (id: string) => `/predictions/${id}/webhook/redeliver`;

  expect(await deliveriesOf(running)).toEqual([]);
  expect((await call(path(running), 'POST')).status).toBe(409);
  expect((await call(path(untold), 'POST')).status).toBe(404);
  expect((await call(path(`pred_${'0'.repeat(26)}`), 'POST')).status).toBe(404);
  expect((await call(path(untold), 'POST', { endpont: 'x' })).status).toBe(422);
  const form = await fetch(`${service.url}/v1${path(untold)}`, { method: 'POST', body: '{}' });
  expect(form.status).toBe(415); // not taken for an empty request, which means every receiver
  await service.cancel(running);
});

describe('registered endpoints', () => {
  interface Endpoint {
    id: string;
    url: string;
    enabled: boolean;
    urls: { get: string };
  }
  const register = async (path: string, more: object = {}) =>
    await answerOf<Endpoint>('/webhook_endpoints', 'POST', {
      url: `${receiver.url}${path}`,
      ...more,
    });
  let endpoint: Endpoint;
  beforeEach(async () => {
    endpoint = await register('/endpoint', { description: 'mine' });
  });
  afterEach(async () => {
    const { data } = await answerOf<{ data: Endpoint[] }>('/webhook_endpoints');
    for (const { id } of data) await call(`/webhook_endpoints/${id}`, 'DELETE');
  });

  test('is told of every prediction of its tenant, beside the request’s own webhook', async () => {
    const failuresOnly = await register('/failures', { events: ['prediction.failed'] });
    const id = await predict(`${receiver.url}/own`);
    await receiver.at('/endpoint');
    await receiver.at('/own');
    const found = await until('both to be delivered', async () => {
      const data = await deliveriesOf(id);
      return data.every(({ status }) => status === 'delivered') ? data : undefined;
    });

    expect(found.map((each) => each.id)).toEqual([`${id}.webhook`, `${id}.webhook.${endpoint.id}`]);
    expect(failuresOnly).toMatchObject({ events: ['prediction.failed'], enabled: true });
    expect(receiver.received.some(({ path }) => path === '/failures')).toBe(false);
    const read = await answerOf<Endpoint>(`/webhook_endpoints/${endpoint.id}`);
    expect(read).toEqual(endpoint);
  });

  test('a test sends a ping, and answers with what came of it', async () => {
    const response = await call(`/webhook_endpoints/${endpoint.id}/test`, 'POST');
    const ping = (await response.json()) as Delivery;
    const message = (await receiver.at('/endpoint')).at(-1);
    if (message === undefined) throw new Error('nothing came');

    expect(response.status).toBe(200);
    expect(ping).toMatchObject({ status: 'delivered', event: { type: 'ping' }, prediction: null });
    expect(verify(await currentSecret(), message)).toMatchObject({ type: 'ping', data: {} });
  });

  test('deleted or disabled in between, it ends a delivery as gone', async () => {
    const other = await register('/500');
    const id = await predict();
    const failing = async (check: (delivery: Delivery) => boolean) =>
      await until('the delivery', async () =>
        (await deliveriesOf(id)).find((each) => each.endpoint === other.id && check(each)),
      );
    await failing(({ attempts }) => attempts.length === 2); // the next is an hour away
    await answerOf(`/webhook_endpoints/${other.id}`, 'PATCH', { enabled: false });
    await call(`/predictions/${id}/webhook/redeliver`, 'POST', { endpoint: other.id });
    const disabled = await failing(({ status }) => status === 'gone');
    await call(`/webhook_endpoints/${other.id}`, 'DELETE');
    await call(`/predictions/${id}/webhook/redeliver`, 'POST', { endpoint: other.id });
    const deleted = await failing(({ reason }) => reason === 'endpoint_deleted');

    expect(disabled).toMatchObject({ reason: 'endpoint_disabled' });
    expect(deleted.attempts).toHaveLength(2);
  });

  test('all that failed since a time is told again, and the story is listed', async () => {
    const since = new Date(Date.now() - 1000).toISOString();
    const mute = await register('/410');
    const ids = [await predict(), await predict(), await predict()];
    const told = async (status: string) =>
      await until(`all to be ${status}`, async () => {
        const { data } = await answerOf<{ data: Delivery[] }>(
          `/webhook_endpoints/${mute.id}/deliveries`,
        );
        const done = data.filter((each) => each.status === status);
        return done.length === ids.length && data.length === ids.length ? done : undefined;
      });
    await told('gone');
    await answerOf(`/webhook_endpoints/${mute.id}`, 'PATCH', { url: `${receiver.url}/heard` });
    const path = `/webhook_endpoints/${mute.id}/redeliver`;
    const redelivery = await until('visibility to know of them', async () => {
      const answer = await answerOf<{ redelivered: number }>(path, 'POST', { since });
      return answer.redelivered > 0 ? answer : undefined;
    });
    const delivered = await told('delivered');

    expect(redelivery).toEqual({ object: 'redelivery', redelivered: 3, has_more: false });
    expect(new Set(delivered.map(({ prediction }) => prediction))).toEqual(new Set(ids));
    expect(delivered[0]?.attempts.map(({ status }) => status)).toEqual([410, 200]);
    expect(await answerOf(path, 'POST', { since })).toMatchObject({ redelivered: 0 });
  });

  test('of all that failed, what was deleted since is passed over', async () => {
    const since = new Date(Date.now() - 1000).toISOString();
    const mute = await register('/410');
    const id = await predict();
    const deliveries = `/webhook_endpoints/${mute.id}/deliveries`;
    await until('it to fail', async () => {
      const { data } = await answerOf<{ data: Delivery[] }>(deliveries);
      return data.some(({ status }) => status === 'gone') ? true : undefined;
    });
    expect((await call(`/predictions/${id}`, 'DELETE')).status).toBe(204);
    const again = await call(`/webhook_endpoints/${mute.id}/redeliver`, 'POST', { since });

    expect(again.status).toBe(202);
    expect(await again.json()).toMatchObject({ redelivered: 0, has_more: false });
  });

  test('sixteen are enough, and what cannot be one is refused', async () => {
    for (let count = 1; count < 16; count++) await register('/many');
    const post = async (body: unknown) => (await call('/webhook_endpoints', 'POST', body)).status;

    expect(await post({ url: receiver.url })).toBe(422);
    expect(await post({ url: 'http://10.0.0.1/' })).toBe(422);
    expect(await post({ url: 'https://example.com/', events: [] })).toBe(422);
    expect(await post({ url: 'https://example.com/', events: ['prediction.done'] })).toBe(422);
    expect(await post({ url: 'https://example.com/', colour: 'red' })).toBe(422);
    expect((await call('/webhook_endpoints/whe_x')).status).toBe(400);
    expect((await call(`/webhook_endpoints/whe_${'0'.repeat(26)}`)).status).toBe(404);
    const patched = await call(`/webhook_endpoints/${endpoint.id}`, 'PATCH', { url: 'file:///x' });
    expect(patched.status).toBe(422);
  });
});

test('no signing secret is anywhere but behind its key', async () => {
  const histories = await service.temporalCli('workflow', 'list', '--limit', '200', '-o', 'json');
  const ids = (JSON.parse(histories) as { execution: { workflowId: string } }[]).map(
    ({ execution }) => execution.workflowId,
  );
  const shown = ids.filter((id) => id.includes('.webhook')).slice(0, 10);
  const texts = await Promise.all(
    shown.map(async (id) => await service.temporalCli('workflow', 'show', '-w', id, '-o', 'json')),
  );
  const files = [service.dataDir, service.temporal.folder].flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name))),
  );
  const logs = [service.api, service.orchestration, service.inference].map(({ output }) => output);
  const haystack = Buffer.concat([
    ...files,
    ...[...texts, ...logs].map((text) => Buffer.from(text)),
  ]);
  const needles = secretsSeen.flatMap((secret) => {
    const text = secret.replace('whsec_', '');
    return [text, Buffer.from(text, 'base64'), Buffer.from(text, 'base64').toString('hex')];
  });

  expect(shown.length).toBeGreaterThan(3);
  expect(secretsSeen).toHaveLength(2);
  expect(needles.filter((needle) => haystack.includes(needle))).toEqual([]);
  expect(haystack.includes(`${receiver.url}/ok`)).toBe(true); // the search finds what is there
});
