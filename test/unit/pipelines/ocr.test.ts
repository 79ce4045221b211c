/* Pages in every form, read by a real model process. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import sharp from 'sharp';
import type { ProcessModelRuntime } from '../../../src/runtime/process-runtime.ts';
import type { OcrOutput } from '../../../src/pipelines/ocr/schema.ts';
import { editsBetween } from '../../../src/contract/edit-distance.ts';
import { inferOn, openRuntime, outputOf } from '../../support/runtimes.ts';

const WHITE = { r: 255, g: 255, b: 255 };
let runtime: ProcessModelRuntime;
let page: Buffer;
let expected: OcrOutput;

beforeAll(async () => {
  runtime = await openRuntime([resolve('models')], { maxPixels: 50_000_000 });
  page = await readFile('examples/page.png');
  expected = await read(page);
});
afterAll(async () => await runtime.close());

async function read(image: Uint8Array): Promise<OcrOutput> {
  const inference = await inferOn(
    runtime,
    'ocr',
    {},
    { input: { image: { kind: 'media' as const, bytes: image } } },
  );
  return outputOf(inference) as OcrOutput;
}

const errorRate = (truth: string, text: string): number => editsBetween(truth, text) / truth.length;

test('the page is read as it is printed', () => {
  expect(expected.lines.length).toBeGreaterThanOrEqual(7);
  expect(expected.text).toContain('Order 4711 was still on the stove');
});

test.each<[string, () => Promise<Buffer>]>([
  ['as TIFF', async () => await sharp(page).tiff({ compression: 'lzw' }).toBuffer()],
  ['as WebP', async () => await sharp(page).webp({ lossless: true }).toBuffer()],
  ['as JPEG', async () => await sharp(page).jpeg({ quality: 90 }).toBuffer()],
  ['inverted', async () => await sharp(page).negate({ alpha: false }).png().toBuffer()],
  ['turned by 7°', async () => await sharp(page).rotate(7, { background: WHITE }).png().toBuffer()],
  [
    'turned by -10°',
    async () => await sharp(page).rotate(-10, { background: WHITE }).png().toBuffer(),
  ],
  [
    'upside down, as its EXIF data says',
    async () =>
      await sharp(page)
        .rotate(180)
        .withMetadata({ orientation: 3 })
        .jpeg({ quality: 95 })
        .toBuffer(),
  ],
  [
    'on a large sheet, which is read in tiles',
    async () =>
      await sharp({ create: { width: 2000, height: 2800, channels: 3, background: WHITE } })
        .composite([{ input: page, left: 900, top: 1900 }])
        .png()
        .toBuffer(),
  ],
])('the same page %s gives the same text', async (_name, make) => {
  const { text } = await read(await make());

  expect(errorRate(expected.text, text)).toBeLessThan(0.02);
});

test('boxes lie on the page, clockwise from the top left, also when it is turned', async () => {
  const { lines } = await read(await sharp(page).rotate(5, { background: WHITE }).png().toBuffer());
  for (const { box } of lines) {
    const [topLeft, topRight, bottomRight] = box;
    expect(topRight[0]).toBeGreaterThan(topLeft[0]);
    expect(bottomRight[1]).toBeGreaterThan(topRight[1]);
    const angle = Math.atan2(topRight[1] - topLeft[1], topRight[0] - topLeft[0]);
    expect((angle * 180) / Math.PI).toBeCloseTo(5, -1);
  }
});

test('a TIFF that was cut is refused', async () => {
  const tiff = await sharp(page).tiff({ compression: 'lzw' }).toBuffer();

  await expect(read(tiff.subarray(0, tiff.length / 2))).rejects.toThrow('cannot be decoded');
});

test('a blank sheet of any size has no lines, and costs no minute', async () => {
  const create = { width: 6000, height: 6000, channels: 3 as const, background: WHITE };
  const startedAt = Date.now();

  expect(await read(await sharp({ create }).png().toBuffer())).toMatchObject({ lines: [] });
  expect(Date.now() - startedAt).toBeLessThan(60_000);
});

test('a blank page has no lines', async () => {
  const blank = sharp({ create: { width: 500, height: 500, channels: 3, background: WHITE } });

  expect(await read(await blank.png().toBuffer())).toMatchObject({ text: '', lines: [] });
});
