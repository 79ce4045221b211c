/* Media is looked at while it arrives, however it arrives. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { storeMedia } from '../../../src/media/media-upload.ts';
import type { MediaField } from '../../../src/pipelines/index.ts';
import { FilePayloadStore } from '../../../src/storage/file-payload-store.ts';

let folder: string;
let store: FilePayloadStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-media-'));
  store = await FilePayloadStore.open(folder);
});
afterEach(async () => await rm(folder, { recursive: true }));

const limits = { maxPixels: 1e6, maxBytes: 1e8 };

async function* inPieces(count: number, bytes: number): AsyncGenerator<Uint8Array> {
  for (let piece = 0; piece < count; piece++)
    yield await Promise.resolve(Buffer.alloc(bytes, piece));
}

test('a header that comes in many small pieces is looked at a few times only', async () => {
  const looks: number[] = [];
  const field: MediaField = {
    kind: 'image',
    accept: ['image/png'],
    inspect: (head) => {
      looks.push(head.length);
      return null;
    },
  };
  const body = inPieces(4000, 100);
  await expect(storeMedia(store, { key: 'a/b', body, field, limits })).rejects.toThrow(
    'its header',
  );

  expect(looks.length).toBeLessThan(16);
  expect(looks.reduce((sum, length) => sum + length, 0)).toBeLessThan(3 * 400_000);
});

test('bytes that come one by one are stored as they are, with the type that was found at last', async () => {
  const field: MediaField = {
    kind: 'image',
    accept: ['image/png'],
    inspect: (head) => (head.length < 24 ? null : 'image/webp'),
  };
  const claim = await storeMedia(store, { key: 'a/b', body: inPieces(25, 1), field, limits });

  expect(claim).toMatchObject({ bytes: 25, media_type: 'image/webp' });
});
