import { Rate } from '../../../../src/api/http/rate.ts';
import { Shares } from '../../../../src/api/http/shares.ts';

test('one tenant gets half of what several share, and what is given back is there again', () => {
  const shares = new Shares(10, true);
  shares.take('a', 5);
  expect([shares.hasRoom('a', 1), shares.hasRoom('b', 5), shares.hasRoom('b', 6)]).toEqual([
    false,
    true,
    false,
  ]);
  shares.take('b', 5);
  expect([shares.hasRoom('c', 1), shares.taken]).toEqual([false, 10]);
  shares.giveBack('a', 5);
  expect(shares.hasRoom('c', 5)).toBe(true);
});

test('where there is one tenant it gets everything', () => {
  expect(new Shares(10, false).hasRoom('default', 10)).toBe(true);
});

test('a tenant that asks too often is refused, and others are not', () => {
  const rate = new Rate({ burst: 3, perSecond: 0.001 });
  for (let asked = 0; asked < 3; asked++) rate.take('a');
  expect(() => rate.take('a')).toThrow('3 times in a short while');
  expect(() => rate.take('b')).not.toThrow();
});
