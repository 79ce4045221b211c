import { pagesIn } from '../../../src/records/pages-in.ts';

const PAGES = [
  { number: 1, text: 'a "pages":[{ } text \\', lines: [{ box: [1, 2] }] },
  { number: 2, text: 'ünïcödé ]}' },
  { number: 3, lines: [] },
];

async function read(json: string, chunkBytes: number): Promise<unknown[]> {
  const bytes = Buffer.from(json);
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
  }
  const pages: unknown[] = [];
  for await (const page of pagesIn(chunks())) pages.push(page);
  return pages;
}

test.each([1, 2, 7, 64, 10_000])('pages come whole out of pieces of %i bytes', async (bytes) => {
  const text = 'pages, "pages": [{"number": 9}]';
  const whole = JSON.stringify({
    begun: { pages: [{ page: 0 }] },
    pages: PAGES,
    text,
    page_count: 3,
  });
  expect(await read(whole, bytes)).toEqual(PAGES);
  expect(await read(JSON.stringify({ text, page_count: 3, pages: PAGES }, null, 2), bytes)).toEqual(
    PAGES,
  );
});

test('where there are none, none come', async () => {
  expect(await read('{"pages":[],"text":""}', 5)).toEqual([]);
  expect(await read('{"text":"pages","other":[{"pages":[{}]}]}', 5)).toEqual([]);
});
