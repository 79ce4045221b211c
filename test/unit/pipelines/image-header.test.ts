import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { InvalidMediaError } from '../../../src/pipelines/definition.ts';
import { imageField } from '../../../src/pipelines/shared/image-header.ts';

const limits = { maxPixels: 1_000_000 };
const blank = sharp({
  create: { width: 300, height: 200, channels: 3, background: { r: 255, g: 255, b: 255 } },
});
const page = readFileSync('examples/page.png');

/** A JPEG up to its frame header: SOI, an APP1 of `metadata` bytes, SOF0. */
function jpeg(width: number, height: number, metadata = 16): Buffer {
  const app = Buffer.alloc(2 + metadata, 1);
  app.set([0xff, 0xe1, (metadata >> 8) & 0xff, metadata & 0xff]);
  const frame = Buffer.from([0xff, 0xc0, 0, 17, 8, 0, 0, 0, 0, 3]);
  frame.writeUInt16BE(height, 5);
  frame.writeUInt16BE(width, 7);
  return Buffer.concat([Buffer.from([0xff, 0xd8]), app, frame]);
}

test('a PNG is known by its first 24 bytes, and not before', () => {
  expect(imageField.inspect(page.subarray(0, 24), limits)).toBe('image/png');
  for (let length = 0; length < 24; length++) {
    expect(imageField.inspect(page.subarray(0, length), limits)).toBeNull();
  }
});

test('a JPEG is known once its frame header has arrived, behind any metadata', () => {
  const head = jpeg(640, 480, 60_000);

  expect(imageField.inspect(head, limits)).toBe('image/jpeg');
  expect(imageField.inspect(head.subarray(0, 50_000), limits)).toBeNull();
});

test.each([
  ['tiff', 'image/tiff', async () => await blank.tiff().toBuffer()],
  ['lossy WebP', 'image/webp', async () => await blank.webp().toBuffer()],
  ['lossless WebP', 'image/webp', async () => await blank.webp({ lossless: true }).toBuffer()],
  [
    'WebP with a profile',
    'image/webp',
    async () => await blank.withIccProfile('srgb').webp().toBuffer(),
  ],
])('a %s is known, and its size', async (_name, mediaType, make) => {
  const bytes = await make();

  expect(imageField.inspect(bytes, { maxPixels: 300 * 200 })).toBe(mediaType);
  expect(() => imageField.inspect(bytes, { maxPixels: 300 * 200 - 1 })).toThrow('300×200 pixels');
});

test('a TIFF whose directory lies far behind is left to the decoder', () => {
  const head = Buffer.from('49492a0000000010', 'hex'); // little-endian, directory at 256 MiB

  expect(imageField.inspect(head, limits)).toBe('image/tiff');
});

test.each([
  ['a GIF', Buffer.from('GIF89a')],
  ['text', Buffer.from('hello')],
  ['a PNG without header', Buffer.concat([page.subarray(0, 8), Buffer.alloc(16)])],
  ['a JPEG that is over before its frame', Buffer.from('ffd8ffd9000000000000000000', 'hex')],
  ['more pixels than allowed', jpeg(2000, 1000)],
  ['no pixels', jpeg(0, 10)],
])('%s is refused', (_name, head) => {
  expect(() => imageField.inspect(head, limits)).toThrow(InvalidMediaError);
});
