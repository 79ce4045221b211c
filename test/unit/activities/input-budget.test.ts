import { InputBudget } from '../../../src/activities/input-budget.ts';

const never = new AbortController().signal;

test('what does not fit waits its turn, in the order of asking', async () => {
  const budget = new InputBudget(100);
  const order: string[] = [];
  const release = await budget.take(60, never);
  const second = budget.take(60, never).then((free) => {
    order.push('second');
    return free;
  });
  const third = budget.take(10, never).then(() => order.push('third'));
  await Promise.resolve();
  expect(order).toEqual([]);
  release();
  release(); // twice is once
  await Promise.all([second, third]);

  expect(order).toEqual(['second', 'third']);
});

test('one that is larger than everything is let in alone', async () => {
  const budget = new InputBudget(100);
  const release = await budget.take(500, never);
  const next = budget.take(1, never);
  release();

  await expect(next).resolves.toBeInstanceOf(Function);
});

test('one that is canceled leaves the line to those behind it', async () => {
  const budget = new InputBudget(100);
  await budget.take(60, never);
  const stop = new AbortController();
  const large = budget.take(90, stop.signal);
  const small = budget.take(40, never);
  stop.abort(new Error('canceled'));

  await expect(large).rejects.toThrow('canceled');
  await expect(small).resolves.toBeInstanceOf(Function);
});
