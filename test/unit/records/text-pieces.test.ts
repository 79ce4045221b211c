/* Which piece of a text somebody lacks who has seen it up to somewhere. */
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Claim } from '../../../src/contract/payload.ts';
import type { Accepted, Ended, Prediction } from '../../../src/contract/prediction.ts';
import type { WorkSoFar } from '../../../src/contract/work.ts';
import type { Observation } from '../../../src/records/prediction-reader.ts';
import { TextPieces, type TextPosition } from '../../../src/records/text-pieces.ts';
import { FilePayloadStore } from '../../../src/storage/file-payload-store.ts';

let store: FilePayloadStore;
beforeAll(async () => {
  store = await FilePayloadStore.open(await mkdtemp(join(tmpdir(), 'buzzer-pieces-')));
});

const pieces = (seen: TextPosition | null) =>
  new TextPieces(seen, {
    store,
    textOf: (output) => (output as { text: string }).text,
    room: { take: () => () => {}, turn: async () => await Promise.resolve() },
  });
const head = async (text: string): Promise<Claim> =>
  await store.put(`predictions/t/p/${text}`, Buffer.from(JSON.stringify({ text, ids: [] })), {
    mediaType: 'application/json',
  });
const work = (more: Partial<WorkSoFar>): WorkSoFar => ({
  attempt: 1,
  since: 1,
  key: 'k',
  head: null,
  offset: 0,
  tail: null,
  ...more,
});
const seen = (of: WorkSoFar | null, ended: Ended | null = null): Observation => ({
  accepted: {} as Accepted,
  record: {} as Prediction,
  work: of,
  ended,
});
const succeeded = (text: string, since?: number): Ended =>
  ({
    status: 'succeeded',
    attempt: 2,
    output: { kind: 'inline', value: { text } },
    ...(since === undefined ? {} : { since }),
  }) as unknown as Ended;

test('each piece comes once, from the tail and from the head', async () => {
  const text = pieces(null);
  expect(await text.next(seen(null))).toBeNull();
  expect(await text.next(seen(work({ tail: { text: 'abc' } })))).toEqual({
    attempt: 1,
    offset: 0,
    text: 'abc',
    reset: false,
  });
  expect(await text.next(seen(work({ tail: { text: 'abc' } })))).toBeNull();
  const later = work({ attempt: 2, head: await head('abcdef'), offset: 6, tail: { text: 'gh' } });
  expect(await text.next(seen(later))).toEqual({
    attempt: 2,
    offset: 3,
    text: 'defgh',
    reset: false,
  });
  expect(await text.next(seen(later))).toBeNull();
  expect(await text.next(seen(null, succeeded('abcdefghij')))).toMatchObject({
    offset: 8,
    text: 'ij',
  });
});

test('somebody who comes again goes on where it was', async () => {
  const tail = { text: 'abcdef' };
  expect(await pieces({ attempt: 1, offset: 4 }).next(seen(work({ tail })))).toMatchObject({
    offset: 4,
    text: 'ef',
  });
  expect(await pieces({ attempt: 1, offset: 99 }).next(seen(work({ tail })))).toBeNull();
  expect(
    await pieces({ attempt: 1, offset: 3 }).next(seen(null, succeeded('abcdef'))),
  ).toMatchObject({ offset: 3, text: 'def', reset: false });
});

test('a text that has begun anew is told whole, and as such', async () => {
  const tail = { text: 'xy' };
  const text = pieces({ attempt: 1, offset: 4 });
  expect(await text.next(seen(work({ attempt: 2, since: 2, tail })))).toEqual({
    attempt: 2,
    offset: 0,
    text: 'xy',
    reset: true,
  });
  expect(await text.next(seen(null, succeeded('xyz', 2)))).toMatchObject({
    offset: 2,
    text: 'z',
    reset: false,
  });
  expect(
    await pieces({ attempt: 1, offset: 1 }).next(seen(null, succeeded('xyz', 2))),
  ).toMatchObject({ offset: 0, text: 'xyz', reset: true });
});

test('a head that is gone gives no piece, and the next look another chance', async () => {
  const claim = await head('gone');
  await store.delete(claim.key);
  const text = pieces(null);
  expect(await text.next(seen(work({ head: claim, offset: 4 })))).toBeNull();
  expect(await text.next(seen(work({ head: await head('gone'), offset: 4 })))).toMatchObject({
    text: 'gone',
  });
});
