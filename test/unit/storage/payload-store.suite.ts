/* What every payload store must do. Each adapter's test runs this. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  PayloadNotFoundError,
  type PayloadStore,
  PayloadTooLargeError,
  type StoredEntry,
} from '../../../src/storage/payload-store.ts';
import { keysOf } from '../../support/payloads.ts';

const text = { mediaType: 'text/plain' };

async function readAll(stream: Readable): Promise<Buffer> {
  return Buffer.concat((await stream.toArray()) as Buffer[]);
}

/** `overhead`: how many bytes a small payload takes beside its own. */
export function payloadStoreSuite(open: () => Promise<PayloadStore>, overhead = 0): void {
  let store: PayloadStore;
  beforeEach(async () => {
    store = await open();
  });
  const read = async (key: string) => await readAll(await store.open(key));

  test('a payload comes back as it was put, with size and hash', async () => {
    const bytes = Buffer.from('grüße');
    const claim = await store.put('predictions/a/input/x.1', bytes, text);

    expect(claim).toEqual({
      key: 'predictions/a/input/x.1',
      bytes: 7,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      media_type: 'text/plain',
    });
    expect(await read(claim.key)).toEqual(bytes);
    expect(await readAll(await store.open(claim.key))).toEqual(bytes);
  });

  test('of many that create the same payload at once, one does, and it stays', async () => {
    const bodies = Array.from({ length: 20 }, (_, index) => Buffer.from(`body ${index}`));
    const created = await Promise.all(
      bodies.map(async (body) => await store.create('c/once', body, text)),
    );
    const winner = bodies[created.indexOf(true)];

    expect(created.filter(Boolean)).toHaveLength(1);
    expect(await read('c/once')).toEqual(winner);
    expect(await keysOf(store, 'c')).toEqual(['c/once']);
  });

  test('a stream is stored in order, an empty one too', async () => {
    const chunks = Array.from({ length: 100 }, (_, index) => Buffer.alloc(10_000, index));
    await store.put('a/stream', Readable.from(chunks), text);
    await store.put('a/empty', Buffer.alloc(0), text);

    expect(await read('a/stream')).toEqual(Buffer.concat(chunks));
    expect(await read('a/empty')).toHaveLength(0);
  });

  test('a piece of a payload can be read; what lies behind its end is left out', async () => {
    await store.put('a/pieces', Buffer.from('0123456789'), text);
    const piece = async (offset: number, bytes: number) =>
      (await readAll(await store.open('a/pieces', { offset, bytes }))).toString();

    expect(await piece(0, 1)).toBe('0');
    expect(await piece(3, 4)).toBe('3456');
    expect(await piece(8, 100)).toBe('89');
    expect(await piece(10, 5)).toBe('');
    await expect(store.open('a/nothing', { offset: 0, bytes: 1 })).rejects.toThrow(
      PayloadNotFoundError,
    );
  });

  test('entries have sizes and ages, and what belongs to a folder comes together', async () => {
    const sinceMs = Date.now();
    for (const key of ['e/a/1', 'e/b/1', 'e/a/2', 'e/b/c/3', 'e/a/c/4']) {
      await store.put(key, Buffer.from(key), text);
    }
    const entries: StoredEntry[] = [];
    for await (const entry of store.entries('e', null)) entries.push(entry);

    expect(entries.map(({ key }) => key).toSorted()).toEqual([
      'e/a/1',
      'e/a/2',
      'e/a/c/4',
      'e/b/1',
      'e/b/c/3',
    ]);
    const folders = entries.map(({ key }) => key.split('/')[1]);
    expect(folders.filter((folder, n) => folder !== folders[n - 1])).toHaveLength(2);
    for (const { key, bytes, modifiedAtMs } of entries) {
      expect(bytes).toBe(key.length + overhead);
      expect(Math.abs(modifiedAtMs - sinceMs)).toBeLessThan(60_000);
    }
    expect(await store.removeHalfWritten(Date.now() - 60_000)).toBe(0);
  });

  test('a stream over the limit is refused and leaves nothing', async () => {
    const body = Readable.from([Buffer.alloc(600), Buffer.alloc(600)]);
    const put = store.put('b/large', body, { ...text, maxBytes: 1000 });

    await expect(put).rejects.toThrow(PayloadTooLargeError);
    expect(await keysOf(store, 'b')).toEqual([]);
  });

  test('a stream that breaks off leaves nothing', async () => {
    const body = (async function* () {
      yield Buffer.from('some');
      throw new Error('the client hung up');
    })();

    await expect(store.put('b/broken', body, text)).rejects.toThrow('the client hung up');
    expect(await keysOf(store, 'b')).toEqual([]);
  });

  test('an unknown key is told apart from a store that fails', async () => {
    await expect(store.open('c/nothing')).rejects.toThrow(PayloadNotFoundError);
  });

  test('deleting a folder deletes what is below it, and nothing else', async () => {
    await store.put('d/one/x', Buffer.from('1'), text);
    await store.put('d/one/y/z', Buffer.from('2'), text);
    await store.put('d/two', Buffer.from('3'), text);
    await store.delete('d/one');
    await store.delete('d/one');

    expect(await keysOf(store, 'd')).toEqual(['d/two']);
  });

  test('of a folder, those in a range can be listed', async () => {
    for (const name of ['a', 'b', 'c', 'd']) await store.put(`r/${name}`, Buffer.from(name), text);
    const found: string[] = [];
    for await (const key of store.list('r', { from: 'r/b', to: 'r/c' })) found.push(key);

    expect(found.toSorted()).toEqual(['r/b', 'r/c']);
  });

  test('what is said to be opened can be opened, and what is not there is not', async () => {
    const keys = ['a', 'b', 'c'].map((name) => `tombstones/${name}`);
    await store.put('tombstones/b', Buffer.from('b'), text);
    await store.prefetch(keys);

    expect(await read('tombstones/b')).toEqual(Buffer.from('b'));
    await expect(store.open('tombstones/c')).rejects.toThrow(PayloadNotFoundError);
  });

  test.each(['../escape', '/absolute', 'a/../../b', 'a//b', '', 'a/.hidden/', 'a\0b'])(
    'the key %j is refused',
    async (key) => {
      await expect(store.put(key, Buffer.from('x'), text)).rejects.toThrow(TypeError);
    },
  );

  test('it says that it can be written', async () => {
    await expect(store.check()).resolves.toBeUndefined();
  });
}
