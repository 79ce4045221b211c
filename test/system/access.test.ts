/* Who may ask for what: every operation, with every kind of key that should not do. */
import { writeFile } from 'node:fs/promises';
import http from 'node:http';
import { OPERATIONS } from '../../src/api/operations.ts';
import { newId } from '../../src/submission/new-id.ts';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { TestKeys } from '../support/keys.ts';
import { affine, Service } from '../support/service.ts';

type Headers = Record<string, string>;

let keys: TestKeys;
let service: Service;
let id: string;
let mine: Headers;
let theirs: Headers;
let expired: Headers;
let prediction: Prediction;
let endpoint: string;
let openAiResponse: string;
let batch: string;
let openAiBatch: string;
let file: string;

beforeAll(async () => {
  keys = await TestKeys.create();
  ({ id, headers: mine } = await keys.add('acme', ['predict', 'read', 'admin']));
  theirs = (await keys.add('other', ['predict', 'read', 'admin'])).headers;
  expired = (await keys.add('acme', ['predict', 'read', 'admin'], -1000)).headers;
  service = await Service.start({
    BUZZER_KEYS_FILE: keys.path,
    BUZZER_CORS_ORIGINS: 'https://app.example.com',
  });
  const order = { model: 'affine', input: affine() };
  const done = await service.post(order, { ...mine, Prefer: 'wait=30' });
  prediction = (await done.json()) as Prediction;
  expect(prediction.status).toBe('succeeded');
  const text = { model: 'babble', input: 'Hello', max_output_tokens: 5 };
  const answered = await ask('POST', '/openai/v1/responses', mine, text);
  openAiResponse = ((await answered.json()) as { id: string }).id;
  const items = [{ custom_id: 'a', input: affine() }];
  const batched = await ask('POST', '/v1/batches', mine, { model: 'affine', items });
  batch = ((await batched.json()) as { id: string }).id;
  const stored = await ask('POST', '/v1/files', mine, { any: 'bytes' });
  file = ((await stored.json()) as { id: string }).id;
  const endpointOfOpenAi = '/v1/chat/completions';
  const request = {
    custom_id: 'a',
    method: 'POST',
    url: endpointOfOpenAi,
    body: { model: 'babble', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 1 },
  };
  const lines = await ask('POST', '/v1/files', mine, request);
  const theirBatch = await ask('POST', '/openai/v1/batches', mine, {
    input_file_id: ((await lines.json()) as { id: string }).id,
    endpoint: endpointOfOpenAi,
    completion_window: '24h',
  });
  openAiBatch = ((await theirBatch.json()) as { id: string }).id;
  const created = await ask('POST', '/v1/webhook_endpoints', mine, { url: 'https://example.com/' });
  endpoint = ((await created.json()) as { id: string }).id;
});
afterAll(async () => {
  await service.close();
  await keys.close();
});

async function ask(method: string, path: string, headers: Headers, body?: object) {
  return await fetch(`${service.url}${path}`, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

const codeOf = async (response: Response) => [
  response.status,
  codeIn((await response.json()) as { code?: string; error?: { code?: string } }),
];
/** OpenAI's clients read it elsewhere, and have another word for a missing key. */
const codeIn = ({ code, error }: { code?: string; error?: { code?: string } }) =>
  code ?? error?.code?.replace('invalid_api_key', 'unauthorized');

/** A path of the operation that leads to what is ours. */
const pathOf = (path: string): string =>
  path
    .replace('/v1/predictions/{id}', `/v1/predictions/${prediction.id}`)
    .replace('/openai/v1/responses/{id}', `/openai/v1/responses/${openAiResponse}`)
    .replace('/v1/webhook_endpoints/{id}', `/v1/webhook_endpoints/${endpoint}`)
    .replace('/openai/v1/batches/{id}', `/openai/v1/batches/${openAiBatch}`)
    .replace('/v1/batches/{id}', `/v1/batches/${batch}`)
    .replace('/v1/files/{id}', `/v1/files/${file}`)
    .replace('{number}', '1')
    .replace('{field}', 'inputs')
    .replace('{model}', 'affine')
    .replace('{version}', '1');

const GUARDED = OPERATIONS.filter(({ scope }) => scope !== null);

describe.each(GUARDED)('$method $path', ({ method, path, scope }) => {
  const body = method === 'GET' || method === 'DELETE' ? undefined : {};

  test('no key, a wrong one, an expired one, and none of its scope', async () => {
    const url = pathOf(path);
    const none = await ask(method, url, {}, body);
    const wrong = await ask(
      method,
      url,
      { Authorization: `Bearer bz_${id}_${'A'.repeat(43)}` },
      body,
    );
    const others = (['predict', 'read', 'admin'] as const).filter((each) => each !== scope);
    const unfit = (await keys.add('acme', others)).headers;

    expect(none.headers.get('WWW-Authenticate')).toBe('Bearer');
    expect(await codeOf(none)).toEqual([401, 'unauthorized']);
    expect(await codeOf(wrong)).toEqual([401, 'unauthorized']);
    expect(await codeOf(await ask(method, url, expired, body))).toEqual([401, 'unauthorized']);
    const answer = await until('the key to be known', async () => {
      const response = await ask(method, url, unfit, body);
      return response.status === 401 ? undefined : response;
    });
    expect(await codeOf(answer)).toEqual([403, 'forbidden']);
  });
});

const OF_PREDICTIONS = GUARDED.filter(({ path }) => path.includes('{id}'));

test.each(OF_PREDICTIONS)(
  "$method $path: another tenant's is as unknown as one that never was",
  async ({ id: operation, method, path }) => {
    const change = operation === 'changePrediction' ? { priority: 1 } : {}; // anything is no change
    const body = method === 'GET' || method === 'DELETE' ? undefined : change;
    const ofOthers = await ask(method, pathOf(path), theirs, body);
    const never = pathOf(path)
      .replace(prediction.id, newId('pred'))
      .replace(openAiResponse, newId('pred').replace('pred_', 'resp_'))
      .replace(endpoint, newId('whe'))
      .replace(batch, newId('batch'))
      .replace(openAiBatch, newId('batch'))
      .replace(file, newId('file'));
    const ofNobody = await ask(method, never, theirs, body);

    expect(await codeOf(ofOthers)).toEqual([404, 'not_found']);
    expect(await codeOf(ofNobody)).toEqual([404, 'not_found']);
  },
);

test('lists and secrets are of one tenant; the same Idempotency-Key of two tenants is two', async () => {
  const list = async (headers: Headers) => {
    const answer = await ask('GET', '/v1/predictions', headers);
    return ((await answer.json()) as { data: Prediction[] }).data.map(({ id }) => id);
  };
  await until('the list', async () =>
    (await list(mine)).includes(prediction.id) ? true : undefined,
  );
  expect(await list(theirs)).toEqual([]);
  const secrets = [mine, theirs].map(async (headers) => {
    return await (await ask('GET', '/v1/webhook_secret', headers)).text();
  });
  const [ours, other] = await Promise.all(secrets);
  expect(ours).not.toBe(other);

  const order = { model: 'affine', input: affine() };
  const both = [mine, theirs].map(async (headers) => {
    const answer = await service.post(order, { ...headers, 'Idempotency-Key': 'one' });
    return ((await answer.json()) as Prediction).id;
  });
  const [one, two] = await Promise.all(both);
  expect(one).not.toBe(two);
});

test('a tenant in a header or a body is nobody', async () => {
  const order = { model: 'affine', input: affine(), tenant: 'acme' };
  expect(await codeOf(await service.post(order, theirs))).toEqual([422, 'invalid_input']);
  const url = `/v1/predictions/${prediction.id}`;
  const answer = await ask('GET', url, { ...theirs, 'X-Tenant': 'acme', Tenant: 'acme' });
  expect(answer.status).toBe(404);
});

test('a deleted prediction is gone for its tenant, and was never there for others', async () => {
  const order = { model: 'affine', input: affine() };
  const { id } = (await (
    await service.post(order, { ...mine, Prefer: 'wait=30' })
  ).json()) as Prediction;
  expect((await ask('DELETE', `/v1/predictions/${id}`, mine)).status).toBe(204);

  expect((await ask('GET', `/v1/predictions/${id}`, mine)).status).toBe(410);
  expect((await ask('GET', `/v1/predictions/${id}`, theirs)).status).toBe(404);
});

describe('keys', () => {
  test('a new key works and a revoked one does not, without a restart', async () => {
    const key = await keys.add('acme', ['read']);
    const status = async () => (await ask('GET', '/v1/models', key.headers)).status;
    await until('the new key', async () => ((await status()) === 200 ? true : undefined));
    await keys.revoke(key.id);
    await until('its end', async () => ((await status()) === 401 ? true : undefined));
  });

  test('a keys file that breaks changes nothing, and is said in the log', async () => {
    const { path } = keys;
    const good = await import('node:fs/promises').then(async (fs) => await fs.readFile(path));
    await writeFile(path, '{"keys": [');
    const said = () => service.api.output.includes('the keys file cannot be used');
    await until('the log line', async () => {
      expect((await ask('GET', '/v1/models', mine)).status).toBe(200);
      return said() ? true : undefined;
    });
    await writeFile(path, good);
    expect((await ask('GET', '/v1/models', mine)).status).toBe(200);
  });

  test('a body that waits for 100 Continue is asked for only when its key is good', async () => {
    const firstAnswer = async (headers: Headers) =>
      await new Promise<number>((resolve, reject) => {
        const given = { ...headers, 'Content-Type': 'application/json', Expect: '100-continue' };
        const request = http.request(`${service.url}/v1/predictions`, {
          method: 'POST',
          headers: { ...given, 'Content-Length': '2' },
        });
        request.on('continue', () => {
          resolve(100);
          request.destroy();
        });
        request.on('response', ({ statusCode = 0 }) => resolve(statusCode));
        request.on('error', reject);
        request.flushHeaders();
        request.on('close', () => reject(new Error('no answer')));
      });

    expect(await firstAnswer({})).toBe(401);
    expect(await firstAnswer(mine)).toBe(100);
  });

  test('two Authorization headers are refused', async () => {
    const { request } = await import('node:http');
    const status = await new Promise((resolve, reject) => {
      const call = request(`${service.url}/v1/models`, (answer) => resolve(answer.statusCode));
      call.once('error', reject).setHeader('Authorization', ['Bearer a', 'Bearer b']);
      call.end();
    });
    expect(status).toBe(400);
  });

  test('health and the index need none; nothing else is said without one', async () => {
    for (const path of ['/healthz', '/readyz', '/v1', '/v2', '/v2/health/live']) {
      expect((await ask('GET', path, {})).status).toBe(200);
    }
    expect((await ask('GET', '/v1/nothing', {})).status).toBe(404);
    const open = await (await ask('GET', '/openapi.json', {})).text();
    const full = await (await ask('GET', '/openapi.json', mine)).text();
    expect([open.includes('predict_ocr'), full.includes('predict_ocr')]).toEqual([false, true]);
  });

  test('no secret of a key reaches a log', () => {
    for (const { Authorization: shown = '' } of [mine, theirs, expired]) {
      expect(service.api.output).not.toContain(shown.slice(-43));
    }
  });
});

describe('browsers', () => {
  test('pages of the origins that were named may ask, with any header we read', async () => {
    const preflight = await fetch(`${service.url}/v1/predictions`, {
      method: 'OPTIONS',
      headers: {
        Origin: 'https://app.example.com',
        'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'authorization,content-type,idempotency-key,prefer',
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('Access-Control-Allow-Origin')).toBe('https://app.example.com');
    expect(preflight.headers.get('Access-Control-Allow-Headers')).toMatch(/authorization/i);
    const got = await ask('GET', '/v1/models', { ...mine, Origin: 'https://app.example.com' });
    expect(got.headers.get('Access-Control-Expose-Headers')).toMatch(/Location/);
  });

  test('pages of others may not', async () => {
    const got = await ask('GET', '/v1/models', { ...mine, Origin: 'https://evil.example.com' });
    expect(got.headers.get('Access-Control-Allow-Origin')).toBeNull();
  });
});
