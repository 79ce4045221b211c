import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WorkKeeper, type WorkKeeperOptions } from '../../../src/activities/work-keeper.ts';
import {
  joined,
  type Part,
  storedParts,
  textOf,
  type WorkSoFar,
} from '../../../src/contract/work.ts';
import { FilePayloadStore } from '../../../src/storage/file-payload-store.ts';
import { StorageError } from '../../../src/storage/payload-store.ts';
import { readWork } from '../../../src/storage/work.ts';
import { until } from '../../support/conditions.ts';

let store: FilePayloadStore;
beforeEach(async () => {
  store = await FilePayloadStore.open(await mkdtemp(join(tmpdir(), 'buzzer-work-')));
});

const partKey = (attempt: number) => (count: number) =>
  `predictions/t/p/work.run.${attempt}.${count}`;
const options = (more: Partial<WorkKeeperOptions> = {}): WorkKeeperOptions => ({
  store,
  engineInlineLimit: 100,
  attempt: 1,
  key: 'k',
  partKey: partKey(more.attempt ?? 1),
  onChange: () => {},
  keepReplacedMs: 0,
  ...more,
});
const part = (text: string): Part => ({ text, ids: Array.from(text, Number) });
/** The number of the head that is told. */
const headNumber = (keeper: WorkKeeper): number =>
  Number(keeper.told?.head?.key.split('.').at(-1) ?? 0);
const told = (keeper: WorkKeeper): WorkSoFar => {
  if (keeper.told === null) throw new Error('nothing is told');
  return keeper.told;
};
async function keys(): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const key of store.list('predictions/t/p')) found.push(key);
  return found.toSorted();
}

test('small work is told at once, and needs no store', async () => {
  const seen: (string | undefined)[] = [];
  const keeper: WorkKeeper = await WorkKeeper.open(
    options({ onChange: () => void seen.push(JSON.stringify(keeper.told?.tail)) }),
    null,
  );
  expect([keeper.all, keeper.told]).toEqual([null, null]);
  keeper.add(part('1'));
  keeper.add(part('23'));

  expect(seen).toEqual(['{"text":"1","ids":[1]}', '{"text":"123","ids":[1,2,3]}']);
  expect(told(keeper)).toEqual({
    attempt: 1,
    since: 1,
    key: 'k',
    head: null,
    offset: 0,
    tail: part('123'),
  });
  expect(await keys()).toEqual([]);
});

test.each([0, 40, 100])(
  'with %i bytes for the engine, what is told is always whole',
  async (limit) => {
    const all: string[] = [];
    const wholes: Promise<unknown>[] = [];
    const keeper: WorkKeeper = await WorkKeeper.open(
      options({
        engineInlineLimit: limit,
        onChange: () => {
          const now = told(keeper);
          expect(now.tail === null || JSON.stringify(now.tail).length <= limit).toBe(true);
          wholes.push(readWork(now, store).then((work) => expect(all).toContain(textOf(work))));
        },
      }),
      null,
    );
    for (let count = 1; count <= 60; count += 1) {
      keeper.add(part(String(count % 10)));
      all.push(textOf(keeper.all));
      if (count % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await keeper.settle();
    await Promise.all(wholes);

    expect(await readWork(told(keeper), store)).toEqual(keeper.all);
    expect(told(keeper).offset).toBeGreaterThan(0);
    expect((await keys()).length).toBeLessThanOrEqual(2);
  },
);

test('the store is written at most four times a second, and what was told last stays', async () => {
  let puts = 0;
  const counting = Object.create(store) as FilePayloadStore;
  counting.delete = async (key) => await store.delete(key);
  counting.put = async (...given) => {
    puts += 1;
    return await store.put(...given);
  };
  const keeper = await WorkKeeper.open(options({ store: counting, engineInlineLimit: 0 }), null);
  const startedAt = Date.now();
  await until('three heads', () => {
    keeper.add(part('1'));
    return puts < 3 ? undefined : true;
  });
  expect(Date.now() - startedAt).toBeGreaterThanOrEqual(490);
  await keeper.settle();

  expect(await keys()).toEqual([partKey(1)(puts - 1), partKey(1)(puts)]);
});

test('much work is a few parts in the store, and each byte of it is written a few times', async () => {
  let written = 0;
  const counting = Object.create(store) as FilePayloadStore;
  counting.delete = async (key) => await store.delete(key);
  counting.put = async (...given) => {
    const claim = await store.put(...given);
    written += claim.bytes;
    return claim;
  };
  const keeper: WorkKeeper = await WorkKeeper.open(options({ store: counting }), null);
  const page = (number: number): Part => ({ pages: [{ number, text: 'x'.repeat(1000) }] });
  const most = 12;
  for (let number = 1; number <= most; number += 1) {
    keeper.add(page(number));
    await until(`page ${number}`, () => (keeper.told?.pages === number ? true : undefined));
  }
  await keeper.close();

  expect(storedParts(told(keeper)).length).toBeLessThanOrEqual(4);
  expect(written).toBeLessThan(5 * most * 1030); // all of it each time would be 6.5 times
  expect((await keys()).length).toBeLessThanOrEqual(7);
  const numbers = Array.from({ length: most }, (_, index) => page(index + 1));
  expect(await readWork(told(keeper), store)).toEqual(numbers.reduce(joined));
  await keeper.settle();
  expect(storedParts(told(keeper)).length).toBeLessThanOrEqual(2); // for a failure
});

test('the next attempt goes on with the work, and again the one after it', async () => {
  const first = await WorkKeeper.open(options(), null);
  first.add(part('1'.repeat(50)));
  await first.settle();
  const second = await WorkKeeper.open(options({ attempt: 2 }), told(first));
  expect(second.all).toEqual(first.all);
  second.add(part('2'));
  const third = await WorkKeeper.open(options({ attempt: 3 }), told(second));

  expect(third.all).toEqual(part(`${'1'.repeat(50)}2`));
  expect(told(second)).toMatchObject({ attempt: 2, since: 1, head: told(first).head });
});

test.each<[string, (work: WorkSoFar) => Promise<WorkSoFar>]>([
  ['of other inputs', async (work) => await Promise.resolve({ ...work, key: 'other' })],
  [
    'whose head is lost',
    async (work) => {
      await store.delete('predictions/t/p');
      return work;
    },
  ],
])('work %s is begun anew', async (_what, change) => {
  const first = await WorkKeeper.open(options(), null);
  first.add(part('1'.repeat(50)));
  await first.settle();
  const earlier = await change(told(first));
  const second = await WorkKeeper.open(options({ attempt: 2 }), earlier);

  expect([second.all, second.told]).toEqual([null, earlier]); // it may only be out of reach
  second.add(part('2'));
  expect(told(second)).toMatchObject({ attempt: 2, since: 2, offset: 0, tail: part('2') });
});

test('while a slow store takes a head, what is told lags behind, but comes', async () => {
  const slow = Object.create(store) as FilePayloadStore;
  slow.delete = async (key) => await store.delete(key);
  slow.put = async (...given) => {
    await new Promise((resolve) => setTimeout(resolve, 200));
    return await store.put(...given);
  };
  const keeper = await WorkKeeper.open(options({ store: slow, engineInlineLimit: 0 }), null);
  const timer = setInterval(() => keeper.add(part('1')), 10);
  await until('three heads', () => (headNumber(keeper) < 3 ? undefined : true));
  clearInterval(timer);
  await keeper.close();

  expect(await readWork(told(keeper), store)).not.toBeNull();
});

test('a failure gets a small tail, whatever the engine may hold', async () => {
  const keeper = await WorkKeeper.open(options({ engineInlineLimit: 6000 }), null);
  keeper.add(part('1'.repeat(1500)));
  expect(told(keeper).head).toBeNull();
  await keeper.settle();

  expect(told(keeper)).toMatchObject({ offset: 1500, tail: null });
});

test('a store that fails for a while costs nothing of the work', async () => {
  const failing = Object.create(store) as FilePayloadStore;
  let isBroken = true;
  failing.put = async (...given) => {
    if (isBroken) throw new StorageError('broken');
    return await store.put(...given);
  };
  const keeper = await WorkKeeper.open(options({ store: failing, engineInlineLimit: 0 }), null);
  keeper.add(part('1'));
  keeper.add(part('2'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(keeper.told).toBeNull();
  isBroken = false;
  await until('the next try', () => (keeper.told === null ? undefined : true));

  expect(await readWork(told(keeper), store)).toEqual(part('12'));
  await keeper.close();
});
