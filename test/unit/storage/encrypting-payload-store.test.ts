import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { EncryptingPayloadStore } from '../../../src/storage/encrypting-payload-store.ts';
import { FilePayloadStore } from '../../../src/storage/file-payload-store.ts';
import {
  PayloadCorruptError,
  type Piece,
  StorageError,
} from '../../../src/storage/payload-store.ts';
import { HEAD_BYTES, SEALED_BYTES, SEGMENT_BYTES } from '../../../src/storage/sealed-segments.ts';
import { payloadStoreSuite } from './payload-store.suite.ts';

const type = { mediaType: 'application/octet-stream' };
const [OLD, NEW] = [randomBytes(32), randomBytes(32)];

let folder: string;
let files: FilePayloadStore;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-encrypted-'));
  files = await FilePayloadStore.open(folder);
});
afterAll(async () => await rm(folder, { recursive: true }));

const storeWith = (...keys: [Buffer, ...Buffer[]]) => new EncryptingPayloadStore(files, keys);

async function read(store: EncryptingPayloadStore, key: string, piece?: Piece): Promise<Buffer> {
  return Buffer.concat((await (await store.open(key, piece)).toArray()) as Buffer[]);
}

payloadStoreSuite(
  async () => {
    const own = await FilePayloadStore.open(await mkdtemp(join(folder, 'suite-')));
    return new EncryptingPayloadStore(own, [OLD]);
  },
  HEAD_BYTES + SEALED_BYTES - SEGMENT_BYTES,
);

test.each([
  0,
  1,
  SEGMENT_BYTES - 1,
  SEGMENT_BYTES,
  SEGMENT_BYTES + 1,
  3 * SEGMENT_BYTES,
  3 * SEGMENT_BYTES + 5,
])('%d bytes come back, whole and in pieces, and none of them lies on the disk', async (size) => {
  const store = storeWith(OLD);
  const bytes = randomBytes(size);
  await store.put('a/x', Readable.from([bytes.subarray(0, 7), bytes.subarray(7)]), type);
  expect((await read(store, 'a/x')).equals(bytes)).toBe(true);
  const near = [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, size - 1, size];
  for (const offset of near) {
    for (const count of [1, SEGMENT_BYTES, SEGMENT_BYTES + 1, size]) {
      if (offset < 0 || count < 1) continue;
      const piece = await read(store, 'a/x', { offset, bytes: count });
      expect(piece.equals(bytes.subarray(offset, offset + count))).toBe(true);
    }
  }
  const stored = await readFile(join(folder, 'a/x'));
  if (size >= 16) expect(stored.includes(bytes.subarray(0, 16))).toBe(false);
});

describe('what was changed on the disk is not given out:', () => {
  const path = () => join(folder, 'b/x');
  beforeEach(async () => {
    await storeWith(OLD).put('b/x', randomBytes(3 * SEGMENT_BYTES), type);
  });

  test.each([
    ['one bit', async () => await flip(HEAD_BYTES + SEALED_BYTES + 3)],
    ['the salt', async () => await flip(HEAD_BYTES - 1)],
    ['the end is missing', async () => await truncate(path(), HEAD_BYTES + 2 * SEALED_BYTES)],
    [
      'half a segment is missing',
      async () => await truncate(path(), HEAD_BYTES + SEALED_BYTES / 2),
    ],
    ['all segments are missing', async () => await truncate(path(), HEAD_BYTES)],
    ['two segments changed places', swapSegments],
    ['another payload lies in its place', putAnother],
  ])('%s', async (_what, change) => {
    await change();
    await expect(read(storeWith(OLD), 'b/x')).rejects.toThrow(PayloadCorruptError);
  });

  async function flip(at: number): Promise<void> {
    const bytes = await readFile(path());
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(path(), bytes);
  }

  async function swapSegments(): Promise<void> {
    const bytes = await readFile(path());
    const segment = (n: number) =>
      bytes.subarray(HEAD_BYTES + n * SEALED_BYTES, HEAD_BYTES + (n + 1) * SEALED_BYTES);
    const head = bytes.subarray(0, HEAD_BYTES);
    await writeFile(path(), Buffer.concat([head, segment(1), segment(0), segment(2)]));
  }

  async function putAnother(): Promise<void> {
    await storeWith(OLD).put('b/y', randomBytes(10), type);
    await copyFile(join(folder, 'b/y'), path());
  }
});

test('a new key encrypts, the old one decrypts until it is taken away', async () => {
  await storeWith(OLD).put('c/old', Buffer.from('old'), type);
  const rotated = storeWith(NEW, OLD);
  await rotated.put('c/new', Buffer.from('new'), type);
  expect((await read(rotated, 'c/old')).toString()).toBe('old');
  expect((await read(storeWith(NEW), 'c/new')).toString()).toBe('new');
  const lost = read(storeWith(NEW), 'c/old');
  await expect(lost).rejects.toThrow(StorageError);
  await expect(lost).rejects.toThrow(/c\/old was encrypted with key [0-9a-f]{16}/);
});

test('what was stored before there were keys is read as it is', async () => {
  const bytes = randomBytes(100);
  await files.put('d/plain', bytes, type);
  expect((await read(storeWith(OLD), 'd/plain')).equals(bytes)).toBe(true);
  expect(await read(storeWith(OLD), 'd/plain', { offset: 5, bytes: 3 })).toEqual(
    bytes.subarray(5, 8),
  );
});
