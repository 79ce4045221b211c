import { Batcher } from '../../../src/runtime/batcher.ts';

const entry = (
  name: string,
  more: { key?: string | null; priority?: number; at?: number } = {},
) => ({
  name,
  key: more.key === undefined ? 'same' : more.key,
  priority: more.priority ?? 3,
  arrivedAtMs: more.at ?? 0,
});
const batcherOf = (maxSize: number, maxDelayMs: number, ...entries: ReturnType<typeof entry>[]) => {
  const batcher = new Batcher<ReturnType<typeof entry>>({ maxSize, maxDelayMs });
  for (const each of entries) batcher.add(each);
  return batcher;
};
const names = (batch: readonly { name: string }[]) => batch.map(({ name }) => name).join('');

test('without a delay it takes what is there, up to its size', () => {
  const batcher = batcherOf(2, 0, entry('a'), entry('b'), entry('c'));

  expect(names(batcher.take(0))).toBe('ab');
  expect(names(batcher.take(0))).toBe('c');
  expect(batcher.take(0)).toEqual([]);
  expect(batcher.nextAtMs()).toBeNull();
});

test('a batch that is not full waits for mates, but no longer than its delay', () => {
  const batcher = batcherOf(3, 50, entry('a', { at: 10 }), entry('b', { at: 30 }));

  expect(batcher.take(59)).toEqual([]);
  expect(batcher.nextAtMs()).toBe(60);
  expect(names(batcher.take(60))).toBe('ab');
});

test('a full batch does not wait', () => {
  const batcher = batcherOf(2, 1000, entry('a', { at: 10 }), entry('b', { at: 11 }));

  expect(names(batcher.take(11))).toBe('ab');
});

test('only equal keys share a batch, and what has none runs alone and at once', () => {
  const batcher = batcherOf(
    4,
    1000,
    entry('a', { key: 'one' }),
    entry('b', { key: 'two' }),
    entry('c', { key: null }),
    entry('d', { key: null }),
    entry('e', { key: 'one' }),
  );

  expect(names(batcher.take(0))).toBe('c');
  expect(names(batcher.take(0))).toBe('d');
  expect(batcher.take(999)).toEqual([]);
  expect(names(batcher.take(1000))).toBe('ae');
  expect(names(batcher.take(1000))).toBe('b');
});

test('higher priority first, and the order of arrival within one', () => {
  const batcher = batcherOf(
    2,
    0,
    entry('a', { priority: 3 }),
    entry('b', { priority: 5 }),
    entry('c', { priority: 1 }),
    entry('d', { priority: 3 }),
    entry('e', { priority: 1 }),
  );

  expect([1, 2, 3].map(() => names(batcher.take(0)))).toEqual(['ce', 'ad', 'b']);
});

test('what is taken out is not run', () => {
  const [a, b] = [entry('a'), entry('b')];
  const batcher = batcherOf(4, 0, a, b);

  expect(batcher.remove(a)).toBe(true);
  expect(batcher.remove(a)).toBe(false);
  expect(names(batcher.take(0))).toBe('b');
});
