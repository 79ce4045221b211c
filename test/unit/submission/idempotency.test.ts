import { fingerprint, idempotentId } from '../../../src/submission/idempotency.ts';
import { isPredictionId } from '../../../src/contract/ids.ts';

test('the id is made of tenant and key, and is a prediction id like any other', () => {
  const id = idempotentId('pred', 'default', 'order-4711');

  expect(isPredictionId(id)).toBe(true);
  expect(idempotentId('pred', 'default', 'order-4711')).toBe(id);
  expect(idempotentId('pred', 'default', 'order-4712')).not.toBe(id);
  expect(idempotentId('pred', 'other', 'order-4711')).not.toBe(id);
  expect(idempotentId('pred', 'a","b', 'c')).not.toBe(idempotentId('pred', 'a', 'b","c')); // no joining by hand
});

test('the order of members does not count, that of elements does; values and media do', () => {
  const one = fingerprint({ a: 1, b: { c: [1, 2], d: null } }, { image: 'ab' });

  expect(fingerprint({ b: { d: null, c: [1, 2] }, a: 1 }, { image: 'ab' })).toBe(one);
  expect(fingerprint({ a: 1, b: { c: [2, 1], d: null } }, { image: 'ab' })).not.toBe(one);
  expect(fingerprint({ a: '1', b: { c: [1, 2], d: null } }, { image: 'ab' })).not.toBe(one);
  expect(fingerprint({ a: 1, b: { c: [1, 2] } }, { image: 'ab' })).not.toBe(one);
  expect(fingerprint({ a: 1, b: { c: [1, 2], d: null } }, { image: 'cd' })).not.toBe(one);
  expect(fingerprint([{ x: 1, y: 2 }], {})).toBe(fingerprint([{ y: 2, x: 1 }], {}));
});

test('a million numbers do not hold up the event loop', () => {
  const data = Array.from({ length: 1_000_000 }, (_, index) => index / 3);
  const startedAt = performance.now();
  fingerprint({ input: { data } }, {});

  expect(performance.now() - startedAt).toBeLessThan(4 * 500); // member by member it took seconds
});
