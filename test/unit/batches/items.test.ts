/* Items on their way into the store and out of it again. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { CustomIds } from '../../../src/batches/custom-ids.ts';
import { ItemIndexer, type ItemLimits, parseItem } from '../../../src/batches/item-index.ts';
import { readItems } from '../../../src/batches/read-items.ts';
import type { BatchItems, ItemRange } from '../../../src/contract/batch.ts';
import type { Refusal } from '../../../src/contract/refusal.ts';
import { FilePayloadStore } from '../../../src/storage/file-payload-store.ts';
import { PayloadCorruptError } from '../../../src/storage/payload-store.ts';

let folder: string;
let store: FilePayloadStore;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-items-'));
  store = await FilePayloadStore.open(folder);
});
afterAll(async () => await rm(folder, { recursive: true }));

const LIMITS: ItemLimits = { maxItems: 100_000, maxLineBytes: 2 * 1024 ** 2 };
const line = (id: string, input: unknown = 1) => JSON.stringify({ custom_id: id, input });
const lines = (count: number) => Array.from({ length: count }, (_, n) => line(`item ${n}`, n));

let count = 0;
async function store_(
  chunks: readonly Uint8Array[],
  limits: Partial<ItemLimits> = {},
): Promise<BatchItems> {
  const key = `batches/t/b${(count += 1)}`;
  const indexer = new ItemIndexer({ ...LIMITS, ...limits });
  const body = (async function* () {
    yield* chunks;
    await Promise.resolve();
  })();
  const stored = await store.put(`${key}/lines`, indexer.through(body), { mediaType: 'x/y' });
  const bytes = Buffer.from(JSON.stringify(indexer.index));
  const index = await store.put(`${key}/index`, bytes, { mediaType: 'x/y' });
  return { lines: stored, index, total: indexer.index.items, fetches: null };
}

async function idsIn(items: BatchItems, range?: ItemRange): Promise<readonly string[]> {
  const found: string[] = [];
  const all = { from: 0, to: items.total };
  for await (const { index, line: text } of readItems(store, items, range ?? all)) {
    found.push(`${index} ${parseItem(text).custom_id}`);
  }
  return found;
}

const refusalOf = async (text: string, limits: Partial<ItemLimits> = {}): Promise<string> =>
  await store_([Buffer.from(text)], limits).then(
    () => 'taken',
    (error: Refusal) => `${error.options.errors?.[0]?.pointer} ${error.message}`,
  );

test('however the bytes are cut, the same items come out of any range', async () => {
  const text = Buffer.from(`${lines(40).join('\n')}\n`);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(text.length), { maxLength: 10 }),
      fc.nat(40),
      fc.nat(40),
      async (cuts, a, b) => {
        const at = [0, ...cuts.toSorted((x, y) => x - y), text.length];
        const chunks = at.slice(1).map((end, n) => text.subarray(at[n], end));
        const items = await store_(chunks);
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        const expected = lines(40).map((_, n) => `${n} item ${n}`);
        expect(await idsIn(items, { from, to })).toEqual(expected.slice(from, to));
      },
    ),
    { numRuns: 40 },
  );
});

test.each([
  ['CRLF', `${line('a')}\r\n${line('b')}\r\n`],
  ['a byte order mark', `\uFEFF${line('a')}\n${line('b')}\n`],
  ['no end of the last line', `${line('a')}\n${line('b')}`],
  ['empty lines and blanks', `\n${line('a')}\n  \n\r\n${line('b')}\n\n`],
])('%s is taken as people mean it', async (_what, text) => {
  expect(await idsIn(await store_([Buffer.from(text)]))).toEqual(['0 a', '1 b']);
});

test('pieces of a megabyte are read one by one, and a line may be larger than that', async () => {
  const long = 'x'.repeat(1024 ** 2);
  const texts = [
    ...lines(20_000),
    line('long', long),
    ...lines(3).map((each) => each.replace('item', 'end')),
  ];
  const items = await store_(texts.map((text) => Buffer.from(`${text}\n`)));

  expect(items.total).toBe(20_004);
  expect(await idsIn(items, { from: 19_999, to: 20_002 })).toEqual([
    '19999 item 19999',
    '20000 long',
    '20001 end 0',
  ]);
});

test.each([
  [
    'no JSON',
    `${lines(4999).join('\n')}\n{"custom_id": oops}`,
    /^\/items\/4999 .*line 5000: is not JSON/,
  ],
  [
    'the same custom_id twice',
    [...lines(10), line('item 3')].join('\n'),
    /^\/items\/10\/custom_id .*line 11: "item 3" is the custom_id of an earlier item/,
  ],
  ['nothing', '', /^\/items .*must have at least one item/],
  ['empty lines only', '\n\n \n', /must have at least one item/],
  ['no custom_id', '{"input":1}', /custom_id .*is missing/],
  ['a number as custom_id', '{"custom_id":1,"input":1}', /must be a text/],
  ['a custom_id of 257 characters', line('x'.repeat(257)), /1 to 256 characters/],
  ['no input', '{"custom_id":"a"}', /\/input .*is missing/],
  ['another member', '{"custom_id":"a","input":1,"webhook":"x"}', /\/webhook .*is not known here/],
  ['an array', '[1]', /must be an object/],
  ['what is no UTF-8', '', /UTF-8/],
  [
    'deep nesting',
    line('a').replace('1', `${'['.repeat(200)}${']'.repeat(200)}`),
    /nested more than/,
  ],
])('%s is refused with its place', async (what, text, expected) => {
  if (what === 'what is no UTF-8') {
    const bytes = Buffer.from([0x22, 0xff, 0x22]);
    await expect(store_([bytes])).rejects.toThrow(expected);
  } else expect(await refusalOf(text)).toMatch(expected);
});

test('too many items and lines that are too long are refused before the rest comes', async () => {
  expect(await refusalOf(lines(11).join('\n'), { maxItems: 10 })).toMatch(/more than 10 items/);
  expect(await refusalOf(line('a', 'x'.repeat(200)), { maxLineBytes: 100 })).toMatch(
    /^\/items\/0 .*line 1: has more than 100 bytes/,
  );
});

test('two gigabytes pass through in bounded memory', async () => {
  const pad = Buffer.alloc(1024 ** 2, 'x');
  const indexer = new ItemIndexer(LIMITS);
  const body = (async function* () {
    for (let n = 0; n < 2048; n++) {
      yield Buffer.from(`{"custom_id":"n${n}","input":"`);
      yield pad;
      yield Buffer.from('"}\n');
    }
    await Promise.resolve();
  })();
  const before = process.memoryUsage().rss;
  let bytes = 0;
  let most = 0;
  for await (const piece of indexer.through(body)) {
    bytes += piece.length;
    most = Math.max(most, process.memoryUsage.rss());
  }
  expect(bytes).toBeGreaterThan(2 * 1024 ** 3);
  expect(indexer.index.items).toBe(2048);
  expect(most - before).toBeLessThan(400 * 1024 ** 2);
}, 120_000);

test('pieces that are tiny, and very many blank lines, cost little or are refused', async () => {
  const text = Buffer.from(line('a', 'x'.repeat(100_000)));
  const bytes = Array.from({ length: text.length }, (_, at) => text.subarray(at, at + 1));
  expect((await store_(bytes)).total).toBe(1);
  expect(await refusalOf(`${'\n'.repeat(10_001)}${line('a')}`)).toMatch(
    /more than 10000 empty lines/,
  );
});

test('what was changed in the store is noticed, in the piece where it was', async () => {
  const items = await store_([Buffer.from(lines(20).join('\n'))]);
  const text = lines(20).join('\n').replace('item 7', 'item X');
  await writeFile(join(folder, items.lines.key), text);

  await expect(idsIn(items)).rejects.toThrow(PayloadCorruptError);
  await writeFile(join(folder, items.index.key), '{}');
  await expect(idsIn(items)).rejects.toThrow(PayloadCorruptError);
});

test('of a hundred thousand ids each is new once', () => {
  const ids = new CustomIds();
  const all = Array.from({ length: 100_000 }, (_, n) => `id-${n}`);

  expect(all.filter((id) => ids.add(id))).toHaveLength(all.length);
  expect(all.filter((id) => ids.add(id))).toEqual([]);
});
