/* Documents: read page by page, seen while they are read, gone on with after a crash, and hostile ones. */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import sharp from 'sharp';
import type { Prediction } from '../../src/contract/prediction.ts';
import type { DocumentOutput, DocumentPage } from '../../src/pipelines/document/schema.ts';
import { until } from '../support/conditions.ts';
import { makePdf, type TestPage, type TestPdf, textPage } from '../support/pdf.ts';
import { Service } from '../support/service.ts';

let service: Service;
let models: string;
/** A page of which there is only a picture; OCR takes about a second for it. */
let picture: NonNullable<TestPdf['objects']>[number];
const PICTURE: TestPage = { content: 'q 595 0 0 300 0 500 cm /X1 Do Q' };

beforeAll(async () => {
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await symlink(resolve('node_modules'), join(models, 'node_modules'));
  await addDocumentModel('hasty', { options: { page_timeout_s: 3 } });
  await addDocumentModel('small', {
    resources: { memory_mb: 700 },
    options: { max_page_pixels: 400_000_000, max_pages: 3 },
  });
  const { data, info } = await sharp('examples/page.png')
    .greyscale()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const size = `/Width ${info.width}/Height ${info.height}/BitsPerComponent 8/ColorSpace/DeviceGray`;
  picture = ['X1', `/Type/XObject/Subtype/Image${size}`, data];
  service = await Service.start({
    BUZZER_MODELS: `models,${models}`,
    BUZZER_HEARTBEAT_TIMEOUT: '4s',
  });
});
afterAll(async () => {
  await service.close();
  await rm(models, { recursive: true });
});

async function addDocumentModel(name: string, changes: object): Promise<void> {
  const manifest = JSON.parse(await readFile('models/document/1/model.json', 'utf8')) as object;
  await mkdir(join(models, name, '1'), { recursive: true });
  const changed = JSON.stringify({ ...manifest, ...changes });
  await writeFile(join(models, name, '1', 'model.json'), changed);
}

async function submit(
  document: Uint8Array,
  options: object = {},
  { model = 'document', wait = 0 } = {},
): Promise<Prediction> {
  const form = new FormData();
  form.set('request', JSON.stringify({ options }));
  form.set('document', new Blob([document]), 'document.pdf');
  const response = await fetch(`${service.url}/v1/models/${model}/predictions?wait=${wait}`, {
    method: 'POST',
    body: form,
  });
  expect([200, 202]).toContain(response.status);
  return (await response.json()) as Prediction;
}

const outputOf = ({ output }: Prediction) => output as unknown as DocumentOutput;

async function read(document: Uint8Array, options: object = {}, model?: string) {
  const { id } = await submit(document, options, model === undefined ? {} : { model });
  const record = await service.ended(id);
  expect(record).toMatchObject({ status: 'succeeded' });
  return outputOf(record);
}

async function linesAt(url: string): Promise<readonly DocumentPage[]> {
  const response = await fetch(url);
  expect(response.headers.get('content-type')).toMatch(/^application\/x-ndjson/);
  const lines = (await response.text()).split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as DocumentPage);
}

const pages = (count: number): TestPage[] =>
  Array.from({ length: count }, (_, index) => textPage(`Page ${index + 1}`, 'and its second line'));

test('each page comes with its text, and where it stands', async () => {
  const output = await read(makePdf({ pages: [...pages(2), { content: '' }], objects: [] }));

  expect(output).toMatchObject({
    page_count: 3,
    pages_failed: 0,
    text: 'Page 1\nand its second line\fPage 2\nand its second line\f',
    pages: [
      { number: 1, width: 595, height: 842, rotation: 0, source: 'text', error: null },
      { number: 2, source: 'text' },
      { number: 3, source: 'blank', text: '', lines: [] },
    ],
  });
  const [line] = output.pages[0]?.lines ?? [];
  expect(line).toMatchObject({
    text: 'Page 1',
    confidence: null,
    words: [{ text: 'Page' }, { text: '1' }],
  });
  const [left = 0, top = 0, right = 0, bottom = 0] = line?.box ?? [];
  expect(left).toBeCloseTo(72, 0);
  expect(top).toBeLessThan(842 - 760);
  expect(bottom).toBeGreaterThan(842 - 760);
  expect(right).toBeLessThan(120);
});

test('boxes are those of the page as it is seen: turned, cropped and in its unit', async () => {
  const { content } = textPage('Seen');
  const output = await read(
    makePdf({
      pages: [
        { content, more: '/Rotate 90' },
        { content, more: '/CropBox[50 700 250 800]' },
        { content, more: '/UserUnit 2' },
      ],
    }),
  );
  const found = output.pages.map(({ width, height, rotation, lines }) => {
    const [left = 0, top = 0] = lines[0]?.box ?? [];
    return { width, height, rotation, left: Math.round(left), isTall: top > 60 };
  });

  expect(found).toEqual([
    { width: 842, height: 595, rotation: 90, left: expect.any(Number) as number, isTall: true },
    { width: 200, height: 100, rotation: 0, left: 22, isTall: false },
    { width: 1190, height: 1684, rotation: 0, left: 144, isTall: true },
  ]);
  expect(found[0]?.left).toBeGreaterThan(740); // what was at the top is at the right
});

test('a page that is a picture is read by OCR, in points of the page', async () => {
  const document = makePdf({ pages: [PICTURE, ...pages(1)], objects: [picture] });
  const [scanned, typed] = (await read(document)).pages;

  expect([scanned?.source, typed?.source]).toEqual(['ocr', 'text']);
  expect(scanned?.text).toContain('Order 4711 was still on the stove');
  for (const { box, words, confidence } of scanned?.lines ?? []) {
    expect(confidence).toBeGreaterThan(0.5);
    expect(box[0]).toBeGreaterThanOrEqual(0);
    expect(box[2]).toBeLessThanOrEqual(595);
    expect(box[3]).toBeLessThan(350); // the picture is in the upper part
    for (const word of words) expect(word.box[0]).toBeGreaterThanOrEqual(box[0] - 1);
  }
});

test('images of one page and of several are documents too', async () => {
  const page = await readFile('examples/page.png');
  const { width, height } = await sharp(page).metadata();
  const blank = sharp({ create: { width, height, channels: 3, background: 'white' } });
  const tiff = await sharp([page, await blank.png().toBuffer()], { join: { animated: true } })
    .tiff({ compression: 'lzw' })
    .toBuffer();
  const [one, two] = await Promise.all([read(page), read(tiff)]);

  expect([one.page_count, two.page_count]).toEqual([1, 2]);
  expect(two.pages.map(({ text }) => text)).toEqual([one.text, '']);
});

test('a TIFF whose first page is too large is refused while it is uploaded', async () => {
  const small = sharp({ create: { width: 60, height: 40, channels: 3, background: 'white' } });
  const tiff = await small.tiff().toBuffer();
  // Its width (tag 256) becomes 200,000,000: the decoder would need more memory than there is.
  const directory = tiff.readUInt32LE(4);
  for (
    let entry = directory + 2;
    entry < directory + 2 + 12 * tiff.readUInt16LE(directory);
    entry += 12
  ) {
    if (tiff.readUInt16LE(entry) !== 256) continue;
    tiff.writeUInt16LE(4, entry + 2);
    tiff.writeUInt32LE(200_000_000, entry + 8);
  }
  const response = await fetch(`${service.url}/v1/models/document/predictions`, {
    method: 'POST',
    headers: { 'Content-Type': 'image/tiff' },
    body: tiff,
  });
  expect(response.status).toBe(422); // it is looked at while it is uploaded
});

test('an output that would be too large ends its run early, and says what to do', async () => {
  const own = await Service.start({
    BUZZER_MODELS: 'models',
    BUZZER_MAX_OUTPUT: '20KiB',
  });
  try {
    const form = new FormData();
    form.set('document', new Blob([makePdf({ pages: pages(200) })]));
    const url = `${own.url}/v1/models/document/predictions?wait=30`;
    const record = (await (await fetch(url, { method: 'POST', body: form })).json()) as Prediction;

    expect(record).toMatchObject({ status: 'failed', error: { code: 'output_too_large' } });
    expect(record.error?.message).toMatch(
      /^\d+ pages have more than the 20480 bytes allowed.*less detail/,
    );
  } finally {
    await own.close();
  }
});

test('only the wanted pages are read', async () => {
  const document = makePdf({ pages: pages(6) });
  const numbers = async (wanted: unknown) =>
    (await read(document, { pages: wanted })).pages.map(({ number }) => number);

  expect(await numbers('5,2-3,9')).toEqual([2, 3, 5]);
  expect(await numbers([[4, 100], 1])).toEqual([1, 4, 5, 6]);
});

test('an output comes as Markdown, as text or as lines, when that is asked for', async () => {
  const title: TestPage = {
    content:
      'BT /F 30 Tf 72 760 Td (A title) Tj /F 12 Tf 0 -60 Td (# no title) Tj 0 -18 Td (more) Tj ET',
  };
  const { id } = await submit(makePdf({ pages: [title, ...pages(1)] }));
  await service.ended(id);
  const url = `${service.url}/v1/predictions/${id}/output`;
  const as = async (Accept: string) => {
    const response = await fetch(url, { headers: { Accept } });
    return [response.headers.get('content-type'), await response.text()] as const;
  };

  expect(await as('text/markdown')).toEqual([
    'text/markdown; charset=utf-8',
    '<!-- page 1 -->\n\n# A title\n\n\\# no title\nmore\n\n<!-- page 2 -->\n\nPage 1\nand its second line\n',
  ]);
  expect(await as('text/plain')).toEqual([
    'text/plain; charset=utf-8',
    'A title\n\n# no title\nmore\fPage 1\nand its second line',
  ]);
  const [type, lines] = await as('application/x-ndjson');
  expect(type).toMatch(/^application\/x-ndjson/);
  expect(lines.split('\n').length).toBe(3);
  expect((await as('*/*'))[0]).toMatch(/^application\/json/);
});

test('pages are seen while the others are read, and none is lost or read twice by two crashes', async () => {
  const count = 8;
  const document = makePdf({
    pages: Array.from({ length: count }, () => PICTURE),
    objects: [picture],
  });
  const { id } = await submit(document);
  const done = async (least: number) => {
    const record = await service.readUntil(id, `to have ${least} pages`, ({ partial_output: p }) =>
      p !== null && 'pages_done' in p ? p.pages_done >= least : false,
    );
    const { partial_output: partial } = record;
    if (partial === null || !('pages_done' in partial)) throw new Error('it has no pages');
    return partial;
  };
  const first = await done(1);
  const seen = await linesAt(first.url);
  expect(seen.length).toBeGreaterThanOrEqual(first.pages_done);
  expect(seen[0]).toMatchObject({ number: 1, source: 'ocr' });
  expect(seen[0]?.text).toContain('Order 4711');

  const beforeDeath = (await done(2)).pages_done;
  process.kill(await service.busyModelProcess(), 'SIGKILL');
  const afterDeath = await until('the next attempt to go on', async () => {
    const { attempt, partial_output: p, progress } = await service.read(id);
    if (attempt < 2 || progress === null || p === null || !('pages_done' in p)) return undefined;
    return p.pages_done;
  });
  expect(afterDeath).toBeGreaterThanOrEqual(beforeDeath);

  const beforeCrash = (await done(afterDeath + 2)).pages_done;
  await service.inference.signal('SIGKILL');
  await service.inference.start();
  const record = await service.ended(id, 120_000);
  const output = outputOf(record);

  expect(record).toMatchObject({ status: 'succeeded', attempt: 3 });
  expect(output.pages.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(output.pages.every(({ text }) => text === seen[0]?.text)).toBe(true);
  expect(beforeCrash).toBeGreaterThan(afterDeath);
  expect(await linesAt(first.url)).toEqual(output.pages); // the same URL, also when all is done
  const rest = await linesAt(`${first.url}?after=6`);
  expect(rest.map(({ number }) => number)).toEqual([7, 8]);
}, 180_000);

test('events say how many pages can be read', async () => {
  const document = makePdf({ pages: [PICTURE, PICTURE, PICTURE], objects: [picture] });
  const { id } = await submit(document);
  const text = await (await fetch(`${service.url}/v1/predictions/${id}/events`)).text();
  const told = [...text.matchAll(/event: partial_output\ndata: (.*)/g)].map(
    ([, data = '']) => (JSON.parse(data) as { pages_done: number }).pages_done,
  );

  expect(told.length).toBeGreaterThanOrEqual(2);
  expect(told).toEqual(told.toSorted((a, b) => a - b));
  expect(text).toMatch(/"message":"page 2 of 3"/);
});

const TILES = Buffer.from('0 0 1 1 re f');
const TILE = '/Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 1 1]/Resources<<>>';

test('a page that hangs is given up, and costs neither the others nor the next document', async () => {
  const document = makePdf({
    pages: [
      ...pages(1),
      { content: '/Pattern cs /P1 scn 0 0 595 842 re f' },
      { content: '600 0 0 800 0 0 cm /X1 Do' },
      { content: `BT /F 1 Tf ${'(abcdefghij ) Tj '.repeat(30_000)} ET` },
      ...pages(1),
    ],
    objects: [
      ['P1', `${TILE}/XStep 0.0001/YStep 0.0001`, TILES],
      [
        'X1',
        '/Type/XObject/Subtype/Image/Width 60000/Height 60000/BitsPerComponent 1/ColorSpace/DeviceGray',
        Buffer.alloc(1000),
      ],
    ],
  });
  const output = await read(document, {}, 'hasty');

  expect(output.pages.map(({ source, error }) => error?.code ?? source)).toEqual([
    'text',
    'page_timeout',
    'image_too_large',
    'page_too_large',
    'text',
  ]);
  expect(output.pages[1]?.error?.message).toBe('the page was not read within 3 s');
  expect((await read(makePdf({ pages: pages(1) }), {}, 'hasty')).pages[0]?.source).toBe('text');
});

test('a page that takes all memory costs its process, and is found by its own attempts', async () => {
  const huge: TestPage = { size: [14_000, 14_000], content: '0 0 14000 9000 re f' };
  const document = makePdf({ pages: [...pages(1), huge, ...pages(1)] });
  const { id } = await submit(document, { dpi: 600 }, { model: 'small' });
  const record = await service.ended(id, 90_000);
  const output = outputOf(record);

  expect(record).toMatchObject({ status: 'succeeded', attempt: 4 });
  expect(output.pages.map(({ source, error }) => error?.code ?? source)).toEqual([
    'text',
    'page_crashed',
    'text',
  ]);
}, 120_000);

/** It ends behind its header. */
const BROKEN_PNG = '89504e470d0a1a0a0000000d494844520000000100000001080600000000000000';
const locked = makePdf({ pages: pages(1), password: 'open sesame' });

interface Refused {
  readonly document: Uint8Array;
  readonly options?: object;
  readonly model?: string;
}

test.each<[string, string, Refused]>([
  ['is encrypted', 'password_required', { document: locked }],
  ['gets a wrong password', 'wrong_password', { document: locked, options: { password: 'guess' } }],
  ['is damaged', 'damaged', { document: Buffer.from(`%PDF-1.7\n${'x'.repeat(5000)}`) }],
  ['is a broken image', 'damaged', { document: Buffer.from(BROKEN_PNG, 'hex') }],
  [
    'lacks the pages',
    'no_pages',
    { document: makePdf({ pages: pages(2) }), options: { pages: '7-9' } },
  ],
  [
    'claims too many',
    'too_many_pages',
    { document: makePdf({ pages: pages(1), claimed: 1_000_000 }) },
  ],
  ['is too long', 'too_many_pages', { document: makePdf({ pages: pages(4) }), model: 'small' }],
])('a document that %s is refused as %s', async (_what, reason, { document, options, model }) => {
  const { id } = await submit(document, options, model === undefined ? {} : { model });

  expect(await service.ended(id)).toMatchObject({
    status: 'failed',
    error: { code: 'invalid_input', reason },
  });
});

test('of very many pages some can be chosen', async () => {
  const document = makePdf({ pages: pages(1), claimed: 1_000_000 });
  const output = await read(document, { pages: '1,77' });

  expect(output.page_count).toBe(1_000_000);
  expect(output.pages.map(({ error }) => error?.code ?? null)).toEqual([null, 'page_damaged']);
});

test('a password opens the document, is shown nowhere, and goes along to a retry', async () => {
  const options = { password: 'open sesame', pages: '1' };
  const { id } = await submit(locked, options);
  const record = await service.ended(id);
  expect(record).toMatchObject({ status: 'succeeded', options: { pages: '1' } });
  expect(JSON.stringify(record)).not.toContain('sesame');
  const retry = await fetch(record.urls.retry, { method: 'POST' });
  const again = await service.ended(((await retry.json()) as Prediction).id);

  expect(outputOf(again).text).toBe(outputOf(record).text);
  const items = [{ custom_id: 'a', input: { document: 'data:application/pdf;base64,JVBERi0=' } }];
  const secret = { password: 'open sesame' };
  const inItem = items.map((item) => ({ ...item, options: secret }));
  for (const body of [{ items, options: secret }, { items: inItem }]) {
    const batch = await fetch(`${service.url}/v1/batches`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ model: 'document', ...body }),
    });
    expect(batch.status).toBe(422);
    expect(await batch.text()).toContain('/options/password');
  }
});

test('a password that is not needed does no harm, and a mistake in the JSON does not show one', async () => {
  expect((await read(makePdf({ pages: pages(1) }), { password: 'any' })).page_count).toBe(1);
  const form = new FormData();
  form.set('request', '{"options": {"password": sesame}}');
  form.set('document', new Blob([locked]));
  const url = `${service.url}/v1/models/document/predictions`;
  const response = await fetch(url, { method: 'POST', body: form });

  expect(response.status).toBe(400);
  expect(await response.text()).not.toContain('sesame');
  expect(service.api.output).not.toContain('sesame');
});

test('what is no document is refused while it is uploaded', async () => {
  const response = await fetch(`${service.url}/v1/models/document/predictions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/pdf' },
    body: Buffer.alloc(5000, 'GIF89a'),
  });

  expect(response.status).toBe(422);
  expect(JSON.stringify(await response.json())).toContain('no PDF, TIFF, PNG, JPEG or WebP');
});
