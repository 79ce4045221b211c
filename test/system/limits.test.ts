/* How much is let in, and what is said to whom is not. */
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Prediction } from '../../src/contract/prediction.ts';
import { affineGraph, burnGraph } from '../../src/onnx/example-graphs.ts';
import { until } from '../support/conditions.ts';
import { TestKeys } from '../support/keys.ts';
import { addModel } from '../support/runtimes.ts';
import { affine, burn, Service } from '../support/service.ts';
import { type Temporal, useTemporal } from '../support/temporal.ts';

type Headers = Record<string, string>;

let temporal: Temporal;
let models: string;
let keys: TestKeys;

beforeAll(async () => {
  temporal = await useTemporal();
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await addModel(models, 'affine', affineGraph());
  await addModel(models, 'other', affineGraph());
  await addModel(models, 'burn', burnGraph(), { timeouts: { run_s: 60 } });
  keys = await TestKeys.create();
});
afterAll(async () => {
  await keys.close();
  await temporal.close();
  await rm(models, { recursive: true });
});

const tenant = async (name: string): Promise<Headers> =>
  (await keys.add(name, ['predict', 'read'])).headers;

const settings = (more: Headers) => ({
  BUZZER_MODELS: models,
  BUZZER_KEYS_FILE: keys.path,
  ...more,
});

async function post(service: Service, headers: Headers, body: object = {}) {
  const answer = await service.post({ model: 'affine', input: affine(), ...body }, headers);
  const json = (await answer.json()) as Prediction & { code?: string; detail?: string };
  return { status: answer.status, headers: answer.headers, body: json };
}

async function postMany(service: Service, count: number, headers: Headers, body?: object) {
  const all = Array.from({ length: count }, async () => await post(service, headers, body));
  const answers = await Promise.all(all);
  return answers.map(({ status }) => status).toSorted((a, b) => a - b);
}

describe('with nobody to work', () => {
  let one: Service;
  let two: Service;

  beforeAll(async () => {
    const limits = settings({ BUZZER_TENANT_IN_FLIGHT: '4', BUZZER_MODEL_BACKLOG: '9' });
    one = await Service.start(limits, ['api', 'orchestration'], temporal);
    two = await Service.start(limits, ['api'], temporal);
  });
  afterAll(async () => {
    await one.close();
    await two.close();
  });

  test('a tenant has so many under way, at any number of API processes, and others have theirs', async () => {
    const [acme, other] = [await tenant('acme'), await tenant('other')];
    expect(await postMany(one, 10, acme)).toEqual([...Array(4).fill(202), ...Array(6).fill(429)]);

    const refused = await post(one, acme);
    expect(refused).toMatchObject({ status: 429, body: { code: 'rate_limited' } });
    expect(refused.headers.get('Retry-After')).toMatch(/^[1-9]\d*$/);
    expect(refused.headers.get('RateLimit-Policy')).toBe('"in-flight";q=4');
    expect(refused.headers.get('RateLimit')).toBe('"in-flight";r=0');
    const let_in = await post(one, other);
    expect([let_in.status, let_in.headers.get('RateLimit')]).toEqual([202, '"in-flight";r=3']);

    // The other process has counted nothing itself: it learns from Temporal what is there.
    await until('the other process to know', async () => {
      const answer = await post(two, acme, { start_after: '1h' });
      if (answer.status === 202) await remove(two, answer.body.id, acme);
      return answer.status === 429 ? true : undefined;
    });
  });

  test('a repetition of what is there is answered whatever the limit', async () => {
    const headers = await tenant('repeats');
    const keyed = { ...headers, 'Idempotency-Key': 'one' };
    const first = await post(one, keyed, { model: 'other' });
    expect(await postMany(one, 3, headers, { model: 'other' })).toEqual([202, 202, 202]);
    expect((await post(one, headers, { model: 'other' })).status).toBe(429);

    const again = await post(one, keyed, { model: 'other' });
    expect([again.status, again.body.id]).toEqual([202, first.body.id]);
  });

  test('what has ended makes room', async () => {
    const headers = await tenant('ends');
    const work = { model: 'burn', input: burn(1) };
    const all = [1, 2, 3, 4].map(async () => await post(one, headers, work));
    const [first] = await Promise.all(all);
    expect((await post(one, headers, work)).status).toBe(429);
    await remove(one, first?.body.id ?? '', headers);
    await until('room', async () => {
      return (await post(one, headers, work)).status === 202 ? true : undefined;
    });
  });

  test('a model has so much to do; another model is another matter', async () => {
    for (const name of ['a', 'b', 'c', 'd']) {
      await postMany(one, 4, await tenant(name)); // on top of what the first test has left
    }
    const headers = await tenant('late');
    const refused = await post(one, headers);
    expect(refused).toMatchObject({ status: 503, body: { code: 'overloaded' } });
    expect(refused.headers.get('Retry-After')).toMatch(/^[1-9]\d*$/);
    expect(refused.body.detail).toContain('affine@1');
    expect((await post(one, headers, { model: 'other' })).status).toBe(202);
  });

  async function remove(service: Service, id: string, headers: Headers): Promise<void> {
    const url = `${service.url}/v1/predictions/${id}/cancel`;
    await fetch(url, { method: 'POST', headers });
    await until(`${id} to end`, async () => {
      const answer = await fetch(`${service.url}/v1/predictions/${id}`, { headers });
      return ((await answer.json()) as Prediction).completed_at === null ? undefined : true;
    });
  }
});

test('a tenant may send so many within a minute, at any number of API processes', async () => {
  const limits = settings({ BUZZER_TENANT_RATE: '6' });
  const [one, two] = await Promise.all([
    Service.start(limits, ['api'], temporal),
    Service.start(limits, ['api'], temporal),
  ]);
  try {
    const headers = await tenant('hasty');
    expect(await postMany(one, 8, headers, { model: 'other' })).toEqual([
      ...Array(6).fill(202),
      429,
      429,
    ]);
    const refused = await post(one, headers, { model: 'other' });
    expect(refused.headers.get('RateLimit-Policy')).toContain('"per-minute";q=6;w=60');
    expect(refused.headers.get('Retry-After')).toBe('10');
    await until('the other process to know', async () => {
      return (await post(two, headers, { model: 'other' })).status === 429 ? true : undefined;
    });
  } finally {
    await Promise.all([one.close(), two.close()]);
  }
});

test('a declared length takes no more room than could be read, and none where nothing is', async () => {
  const service = await Service.start(settings({}), ['api'], temporal);
  try {
    const headers = await tenant('boaster');
    const { hostname, port } = new URL(service.url);
    const socket = connect(Number(port), hostname);
    const lines = ['Host: localhost', `Authorization: ${headers['Authorization']}`];
    const length = ['Content-Type: application/json', 'Content-Length: 999999999999'];
    socket.write(['GET /v1/models HTTP/1.1', ...lines, ...length, '', ''].join('\r\n'));
    await new Promise((resolve) => {
      socket.once('data', resolve);
    });
    expect((await post(service, headers, { model: 'other' })).status).toBe(202);
    socket.destroy();
  } finally {
    await service.close();
  }
});

test('only so many requests wait; the others are answered at once', async () => {
  const service = await Service.start(settings({ BUZZER_MAX_WAITING: '2' }), ['api'], temporal);
  try {
    const headers = await tenant('waits');
    const { body } = await post(service, headers, { model: 'other' });
    const url = `${service.url}/v1/predictions/${body.id}`;
    const stop = new AbortController();
    const waiting = [1, 2].map(async () => {
      // It may come while the one below has the place.
      while (!stop.signal.aborted) {
        await fetch(`${url}?wait=60`, { headers, signal: stop.signal }).catch(() => {});
      }
    });
    const prefer = { ...headers, Prefer: 'wait=1' };
    const answer = await until('the places to be taken', async () => {
      const at = Date.now();
      const response = await fetch(url, { headers: prefer });
      return Date.now() - at < 900 ? response : undefined;
    });
    expect([answer.status, answer.headers.get('Preference-Applied')]).toEqual([200, null]);
    const events = await fetch(`${url}/events`, { headers });
    expect(events.status).toBe(503);
    stop.abort();
    await Promise.all(waiting);
    await until('a place', async () => {
      const leave = new AbortController();
      const { status } = await fetch(`${url}/events`, { headers, signal: leave.signal });
      leave.abort();
      return status === 200 ? true : undefined;
    });
  } finally {
    await service.close();
  }
});

test('a body that does not fit beside the others is refused, and takes no memory', async () => {
  const service = await Service.start(settings({ BUZZER_MAX_BUFFERED: '1MiB' }), ['api'], temporal);
  try {
    const headers = await tenant('large');
    const slow = new AbortController();
    const body = new ReadableStream({
      start: (controller) => {
        controller.enqueue(new TextEncoder().encode(`{"model": "other"${' '.repeat(500_000)}`));
      },
    });
    const holding = fetch(`${service.url}/v1/predictions`, {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'application/json' },
      body,
      duplex: 'half',
      signal: slow.signal,
    }).catch(() => {});
    await until('no room', async () => {
      const large = { model: 'other', pad: 'x'.repeat(50_000) };
      const { status, body: problem } = await post(service, headers, large);
      return status === 503 && problem.code === 'overloaded' ? true : undefined;
    });
    slow.abort();
    await holding;
    await until('room', async () => {
      return (await post(service, headers, { model: 'other' })).status === 202 ? true : undefined;
    });
  } finally {
    await service.close();
  }
});

test('a noisy neighbour delays nobody: tenants take turns', async () => {
  const service = await Service.start(settings({}), ['api', 'orchestration'], temporal);
  try {
    const [noisy, quiet] = [await tenant('noisy'), await tenant('quiet')];
    const work = { model: 'burn', input: burn(0.1) };
    const crowd = Array.from({ length: 60 }, async () => await post(service, noisy, work));
    const ids = (await Promise.all(crowd)).map(({ body }) => body.id);
    const mine = (await post(service, quiet, work)).body.id; // the last of all
    await service.inference.start();
    const endOf = async (id: string, headers: Headers) =>
      await until(`${id} to end`, async () => {
        const answer = await fetch(`${service.url}/v1/predictions/${id}?wait=30`, { headers });
        return ((await answer.json()) as Prediction).completed_at ?? undefined;
      });
    const end = await endOf(mine, quiet);
    const ends = await Promise.all(ids.map(async (id) => await endOf(id, noisy)));
    // First come, first served would have left it the last.
    expect(ends.filter((each) => each > end).length).toBeGreaterThan(30);
  } finally {
    await service.close();
  }
});

test('announced bodies that drip shut nobody out, and are cut', async () => {
  const service = await Service.start(settings({ BUZZER_MAX_BUFFERED: '1MiB' }), ['api'], temporal);
  try {
    const [idle, busy] = [await tenant('idle'), await tenant('busy')];
    const { hostname, port } = new URL(service.url);
    const lines = [
      'POST /v1/predictions HTTP/1.1',
      'Host: localhost',
      'Content-Type: application/json',
      'Content-Length: 1000000',
    ];
    const head = [...lines, `Authorization: ${idle['Authorization']}`, '', '{'].join('\r\n');
    const answers = await Promise.all(
      [1, 2, 3].map(async () => {
        const socket = connect(Number(port), hostname);
        await new Promise((resolve) => socket.once('connect', resolve));
        socket.on('error', () => {}).write(head);
        const dripping = setInterval(() => socket.write(' '), 500);
        let text = '';
        socket.on('data', (chunk) => {
          text += chunk.toString();
        });
        const closed = new Promise((resolve) => socket.once('close', resolve));
        return {
          end: async () => {
            await closed;
            clearInterval(dripping);
            return text;
          },
        };
      }),
    );
    const statuses = new Set<number>();
    for (let sent = 0; sent < 50; sent++) {
      statuses.add((await post(service, busy, { model: 'other' })).status);
    }
    expect([...statuses]).toEqual([202]);
    expect((await post(service, idle, { model: 'other' })).status).toBe(202);
    for (const { end } of answers)
      expect(await end()).toMatch(/^HTTP\/1\.1 408 [^]*request_timeout/);
  } finally {
    await service.close();
  }
});
