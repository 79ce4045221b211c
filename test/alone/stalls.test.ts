/* No request keeps the API from answering others: each operation gets its worst bodies, at the size limit. */
import { setTimeout as pause } from 'node:timers/promises';
import { OPERATIONS } from '../../src/api/operations.ts';
import type { Prediction } from '../../src/contract/prediction.ts';
import { affine, Service } from '../support/service.ts';

const LIMIT_BYTES = 10 * 1024 ** 2;
/** Four times the 250 ms that are promised. `PRINT_STALLS=1 npm test -- --testPathPatterns stalls` prints each. */
const LONGEST_MS = 4 * 250;

let service: Service;
let record: Prediction;
let endpoint: string;

beforeAll(async () => {
  service = await Service.start({ BUZZER_SECRET_KEY: Buffer.alloc(32, 7).toString('base64') });
  record = await service.ended((await service.submit('affine', affine())).id);
  const answer = await fetch(`${service.url}/v1/webhook_endpoints`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ url: 'https://example.com/hook' }),
  });
  endpoint = ((await answer.json()) as { id: string }).id;
});
afterAll(async () => {
  await service.close();
});

/** As many of `element` as fit behind `before` and in front of `after`. */
const filled = (before: string, element: string, after: string): string => {
  const count = Math.floor((LIMIT_BYTES - before.length - after.length) / (element.length + 1));
  return `${before}${Array.from({ length: count }, () => element).join(',')}${after}`;
};
const members = (): string => {
  const list = Array.from({ length: 700_000 }, (_, index) => `"k${index}":0`);
  return `{${list.join(',')}}`;
};
/** The dearest to parse: strings that differ. */
const strings = (): string => {
  const list = Array.from({ length: 900_000 }, (_, index) => `"${index.toString(36)}"`);
  return `{"a":[${list.join(',')}]}`;
};
const text = (before: string, letters: string, after: string): string =>
  `${before}${letters.repeat(Math.floor((LIMIT_BYTES - before.length - after.length) / letters.length))}${after}`;

/** What is hard on whoever parses, whatever it is for. */
const ANYWHERE: Readonly<Record<string, () => string>> = {
  'nested arrays': () => '['.repeat(LIMIT_BYTES),
  'nested objects': () => '{"a":'.repeat(LIMIT_BYTES / 5),
  'many members': members,
  'many arrays': () => filled('[', '[]', ']'),
  'many objects': () => filled('{"a":[', '{}', ']}'),
  'one long string': () => text('{"a":"', 'a', '"}'),
  'one long name': () => text('{"', 'a', '":1}'),
  'many escapes': () => text('{"a":"', '\\"', '"}'),
  'many strings': strings,
  'many numbers': () => filled('{"a":[', '0', ']}'),
};

/** What its own members can be made of. */
const MEMBERS: Readonly<Partial<Record<string, readonly (() => string)[]>>> = {
  createPrediction: [
    () => filled('{"model":"affine","input":{},"webhook":{"events":[', '0', ']}}'),
    () => filled('{"model":"affine","input":{},"webhook":{"url":"a","events":[', '"x"', ']}}'),
    () => filled('{"model":"affine","input":{},"tags":[', '0', ']}'),
    () => filled('{"model":"affine","input":{},"options":{"a":[', '0', ']}}'),
    () => filled('{"model":"affine","input":{},"metadata":{"a":[', '0', ']}}'),
    () => text('{"model":"affine","input":{},"metadata":{"a":"', 'é', '"}}'),
    () => text('{"model":"', '@', '","input":{}}'),
    () => text('{"model":"affine","input":{},"deadline":"', '1s', '"}'),
    () => text('{"model":"affine","input":{},"start_after":"', '1h', '"}'),
    () => text('{"model":"affine","input":{},"webhook":"https://', 'a.', '"}'),
    () => filled('{"model":"affine","input":{"inputs":[', '{}', ']}}'),
    () => filled('{"model":"affine","input":{"inputs":[{"name":"x","shape":[', '1', ']}]}}'),
    () => filled('{"model":"affine","input":{"x":[[', '0', ']]}}'),
    () => filled('{"model":"affine","input":{"x":[[', '0.12345', ']]}}'),
    () =>
      `{"model":"affine","input":{"x":[[${Array.from({ length: 999_000 }, () => '0.12').join(',')}]]}}`,
    () => filled('{"model":"affine","input":{"x":[', '[0]', ']}}'),
    () => filled('{"model":"affine","input":[[', '"a"', ']]}'),
    () => text('{"model":"ocr","input":{"image":"data:', ';a', ',"}}'),
    () => text('{"model":"ocr","input":{"image":"data:image/png;base64,', 'AAAA', '"}}'),
    () => text('{"model":"ocr","input":{"image":"https://', 'a', '"}}'),
  ],
  createEndpoint: [
    () => filled('{"url":"https://example.com","events":[', '0', ']}'),
    () => text('{"url":"https://example.com/', '%zz', '"}'),
  ],
  changeEndpoint: [() => filled('{"events":[', '0', ']}')],
  changePrediction: [() => text('{"queue_ttl":"', '1s', '"}')],
  rotateSecret: [() => text('{"overlap":"', '1s', '"}')],
  redeliver: [() => text('{"endpoint":"', 'whe_', '"}')],
  redeliverToEndpoint: [() => text('{"since":"', '2', '"}')],
  v2Infer: [
    () => filled('{"inputs":[', '{}', ']}'),
    () => filled('{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"data":[', '0', ']}]}'),
    () => filled('{"inputs":[{"name":"x","datatype":"FP32","shape":[', '1', '],"data":[0]}]}'),
    () => filled('{"inputs":[],"outputs":[', '{"name":"y"}', ']}'),
    () => filled('{"parameters":{"a":[', '0', ']},"inputs":[]}'),
  ],
};

const url = (path: string): string =>
  `${service.url}${path
    .replace('/webhook_endpoints/{id}', `/webhook_endpoints/${endpoint}`)
    .replace('{id}', record.id)
    .replace('{model}', 'affine')
    .replace('{version}', '1')}`;

/** The longest that `/healthz` took to answer while `work` went on. */
async function longestWhile(work: () => Promise<unknown>): Promise<number> {
  const state = { isOver: false };
  let longestMs = 0;
  const asking = (async () => {
    while (!state.isOver) {
      const at = performance.now();
      expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
      longestMs = Math.max(longestMs, performance.now() - at);
      await pause(10);
    }
  })();
  await work();
  state.isOver = true;
  await asking;
  return longestMs;
}

async function requireAnswered(name: string, send: () => Promise<Response>): Promise<void> {
  const longestMs = await longestWhile(async () => {
    const answer = await send();
    const answered = await answer.text();
    expect([name, answer.status]).not.toEqual([name, 500]);
    expect(answered.length).toBeLessThan(64 * 1024);
  });
  if (process.env['PRINT_STALLS'] !== undefined) console.log(name, Math.round(longestMs));
  expect([name, longestMs < LONGEST_MS, longestMs]).toEqual([name, true, longestMs]);
}

const withBody = OPERATIONS.filter(
  ({ id, method }) =>
    (method === 'POST' || method === 'PATCH') &&
    !['cancelPrediction', 'retryPrediction', 'testEndpoint', 'v2Index'].includes(id),
);

test.each(withBody)('$id is asked its worst, and others are answered', async (operation) => {
  const { id, method, path } = operation;
  const bodies = [...Object.values(ANYWHERE), ...(MEMBERS[id] ?? [])];
  for (const make of bodies) {
    const body = make();
    const headers = { 'Content-Type': 'application/json' };
    await requireAnswered(`${id} ${body.slice(0, 70)}`, async () => {
      return await fetch(url(path), { method, headers, body });
    });
  }
});

const SEPARATOR = 'x0x0x';
const part = (name: string, type: string, body: string): string =>
  `--${SEPARATOR}\r\nContent-Disposition: form-data; name="${name}"${type}\r\n\r\n${body}\r\n`;

/** What does not come as JSON: at the limit of its own. */
const OTHERS: readonly (readonly [what: string, path: string, type: string, body: () => string])[] =
  [
    ['a part', 'ocr', 'form', () => part('request', '', filled('{"tags":[', '0', ']}'))],
    ['small parts', 'ocr', 'form', () => part('a', '', '').repeat(100_000)],
    ['long names', 'ocr', 'form', () => part('a'.repeat(LIMIT_BYTES), '', '')],
    ['files', 'ocr', 'form', () => part('image', '; filename="a"', '').repeat(100_000)],
    ['headers', 'ocr', 'form', () => part('a', '\r\nX: y'.repeat(1_000_000), '')],
    ['an .npy header', 'affine', 'application/x-npy', () => npy('('.repeat(60_000))],
    ['an .npy shape', 'affine', 'application/x-npy', () => npy(shaped('1,'.repeat(20_000)))],
    ['an .npy', 'affine', 'application/x-npy', () => npy(shaped(`${LIMIT_BYTES / 4},`))],
    ['no .npy', 'affine', 'application/x-npy', () => '['.repeat(LIMIT_BYTES)],
    ['no image', 'ocr', 'image/png', () => '\x89PNG\r\n\x1a\n'.padEnd(LIMIT_BYTES, '0')],
  ];
const shaped = (shape: string): string =>
  `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape}), }`;
/** A NumPy file of version 1.0 with any header, and zeros. */
const npy = (header: string): string =>
  `\x93NUMPY\x01\x00${String.fromCharCode(header.length & 0xff, header.length >> 8)}${header}`.padEnd(
    LIMIT_BYTES,
    '\0',
  );

test.each(OTHERS)('%s at its worst, and others are answered', async (what, model, type, make) => {
  const isForm = type === 'form';
  const text = isForm ? `${make()}--${SEPARATOR}--\r\n` : make();
  await requireAnswered(what, async () => {
    return await fetch(`${service.url}/v1/models/${model}/predictions`, {
      method: 'POST',
      headers: { 'Content-Type': isForm ? `multipart/form-data; boundary=${SEPARATOR}` : type },
      body: Buffer.from(text, 'latin1'),
    });
  });
});

test('binary tensors of /v2 at their worst, and others are answered', async () => {
  const head = Buffer.from(
    filled('{"inputs":[', '{"name":"x","datatype":"BYTES","shape":[1]}', ']}'),
  );
  const strings = Buffer.alloc(LIMIT_BYTES); // two and a half million empty ones
  const one = (count: number) =>
    Buffer.from(
      JSON.stringify({
        inputs: [
          {
            name: 'x',
            datatype: 'BYTES',
            shape: [count],
            parameters: { binary_data_size: strings.length },
          },
        ],
      }),
    );
  for (const json of [head, one(strings.length / 4)]) {
    await requireAnswered('v2 binary', async () => {
      return await fetch(`${service.url}/v2/models/affine/infer`, {
        method: 'POST',
        headers: { 'Inference-Header-Content-Length': String(json.length) },
        body: Buffer.concat([json, strings]),
      });
    });
  }
});
