import { endOf, joined, textOf } from '../../../src/contract/work.ts';

test('parts are joined member by member', () => {
  const one = joined(null, { text: 'a', ids: [1], step: 1, state: { x: 1 } });
  const two = joined(one, { text: 'b', ids: [2, 3], step: 2 });

  expect(two).toEqual({ text: 'ab', ids: [1, 2, 3], step: 2, state: { x: 1 } });
  expect(joined(two, { pages: [{}] })).toMatchObject({ text: 'ab', pages: [{}] });
  expect(joined({ text: 'a' }, { text: 1 })).toEqual({ text: 1 }); // not of one kind: the later counts
});

test('names that every object has are members like others', () => {
  expect(joined({ text: 'a' }, { toString: 'b' })).toEqual({ text: 'a', toString: 'b' });
});

test('text is what the member of that name has', () => {
  expect([textOf(null), textOf({ ids: [1] }), textOf({ text: 'a' })]).toEqual(['', '', 'a']);
  const work = { attempt: 1, since: 1, key: '', head: null, offset: 7, tail: { text: 'abc' } };
  expect(endOf(work)).toBe(10);
});
