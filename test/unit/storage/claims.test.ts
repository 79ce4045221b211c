import { truncate, appendFile, writeFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Claim } from '../../../src/contract/payload.ts';
import { openClaim, readClaim, readSmall } from '../../../src/storage/claims.ts';
import { FilePayloadStore } from '../../../src/storage/file-payload-store.ts';
import { LimitedPayloadStore } from '../../../src/storage/limited-payload-store.ts';
import {
  PayloadCorruptError,
  StorageError,
  StorageLimitError,
} from '../../../src/storage/payload-store.ts';
import { keysOf } from '../../support/payloads.ts';

const KEY = 'predictions/a/pred_1/output';
const MIB = 1024 ** 2;
let folder: string;
let store: FilePayloadStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-claims-'));
  store = await FilePayloadStore.open(folder);
});
afterEach(async () => await rm(folder, { recursive: true }));

async function streamed(claim: Claim): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await openClaim(store, claim)) as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

describe.each([
  ['a small payload', 1000],
  ['a large one', 3 * MIB],
])('%s', (_what, bytes) => {
  const body = Buffer.alloc(bytes, 'buzzer');

  test('is read whole and as a stream', async () => {
    const claim = await store.put(KEY, body, { mediaType: 'text/plain' });
    expect((await readClaim(store, claim)).equals(body)).toBe(true);
    expect((await streamed(claim)).equals(body)).toBe(true);
  });

  test.each<[string, (path: string) => Promise<void>]>([
    ['changed', async (path) => await writeFile(path, Buffer.alloc(bytes, 'x'))],
    ['cut', async (path) => await truncate(path, bytes - 1)],
    ['longer', async (path) => await appendFile(path, 'x')],
  ])('that was %s is never given out', async (_how, change) => {
    const claim = await store.put(KEY, body, { mediaType: 'text/plain' });
    await change(join(folder, KEY));
    await expect(readClaim(store, claim)).rejects.toThrow(PayloadCorruptError);
    await expect(streamed(claim)).rejects.toThrow(PayloadCorruptError);
  });
});

test('a small object that is not small is not read whole', async () => {
  await store.put('workers/a.json', Buffer.alloc(2 * MIB, ' '), { mediaType: 'text/plain' });
  await expect(readSmall(store, 'workers/a.json')).rejects.toThrow(PayloadCorruptError);
});

describe('limits', () => {
  const put = async (limited: LimitedPayloadStore, key: string, bytes: number) =>
    await limited.put(key, Buffer.alloc(bytes), { mediaType: 'text/plain' });

  test('a tenant stores so much and no more; others are not touched by it', async () => {
    const limited = new LimitedPayloadStore(store, { tenantBytes: 1000, reserveBytes: 0 });
    await put(limited, 'predictions/a/pred_1/input', 600);
    await expect(put(limited, 'predictions/a/pred_2/input', 600)).rejects.toThrow(
      StorageLimitError,
    );
    await put(limited, 'predictions/b/pred_3/input', 600);
    expect(await keysOf(store, 'predictions')).toHaveLength(2); // nothing is left of what was refused
  });

  test('what is deleted makes room at once', async () => {
    const limited = new LimitedPayloadStore(store, { tenantBytes: 1000, reserveBytes: 0 });
    await put(limited, 'predictions/a/pred_1/input', 600);
    await limited.delete('predictions/a/pred_1/input');
    await put(limited, 'predictions/a/pred_2/input', 600);
    await limited.delete('predictions/a/pred_2');
    await put(limited, 'predictions/a/pred_3/input', 600);
  });

  test('what others have stored counts, and what they have deleted makes room', async () => {
    await store.put('predictions/a/pred_1/output', Buffer.alloc(900), { mediaType: 'text/plain' });
    const limited = new LimitedPayloadStore(store, { tenantBytes: 1000, reserveBytes: 0 });
    await expect(put(limited, 'predictions/a/pred_2/input', 600)).rejects.toThrow(
      StorageLimitError,
    );
    await store.delete('predictions/a/pred_1');
    const nowMs = Date.now();
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => nowMs + 1100);
    await put(limited, 'predictions/a/pred_2/input', 600);
    clock.mockRestore();
  });

  test('many at once do not pass it together', async () => {
    const limited = new LimitedPayloadStore(store, { tenantBytes: 1000, reserveBytes: 0 });
    const puts = Array.from({ length: 20 }, async (_, index) => {
      await put(limited, `predictions/a/pred_${index}/input`, 300);
    });
    const outcomes = await Promise.allSettled(puts);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
  });

  test('below the reserve inputs are refused, and everything else goes on', async () => {
    const limited = new LimitedPayloadStore(store, { tenantBytes: null, reserveBytes: 2 ** 60 });
    const refused = put(limited, 'predictions/a/pred_1/input', 1);
    await expect(refused).rejects.toThrow(StorageError);
    await expect(refused).rejects.toMatchObject({ isFull: true });
    await put(limited, 'tombstones/pred_1', 10);
    await limited.delete('tombstones/pred_1');
  });
});
