import fc from 'fast-check';
import type { ItemRange } from '../../../src/contract/batch.ts';
import { ChunkPlan } from '../../../src/workflows/chunk-plan.ts';

/** Ends one of the running chunks, as a worker would. */
interface End {
  readonly which: number;
  readonly share: number;
  readonly waitedMs: number;
  readonly fails: boolean;
}
const end = fc.record({
  which: fc.nat(100),
  share: fc.double({ min: 0.01, max: 1, noNaN: true }),
  waitedMs: fc.constantFrom(0, 5000),
  fails: fc.boolean(),
});

test('however chunks end, every item is done exactly once', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), fc.array(end), (total, ends: End[]) => {
      const plan = new ChunkPlan([{ from: 0, to: total }]);
      const done = new Uint8Array(total);
      let running: ItemRange[] = [];
      const begin = () => {
        for (let next = plan.next(); next !== null; next = plan.next()) running.push(next);
        expect(running.length).toBeLessThanOrEqual(16);
      };
      const finish = (range: ItemRange, { share, waitedMs, fails }: Omit<End, 'which'>) => {
        running = running.filter((each) => each !== range);
        if (fails) plan.failed(range);
        else {
          const to = range.from + Math.ceil((range.to - range.from) * share);
          for (let item = range.from; item < to; item++) done[item] = (done[item] ?? 0) + 1;
          plan.ended(range, { to, waitedMs });
        }
        begin();
      };
      begin();
      for (const each of ends) {
        const range = running[each.which % Math.max(1, running.length)];
        if (range !== undefined) finish(range, each);
      }
      for (let [range] = running; range !== undefined; [range] = running) {
        finish(range, { share: 1, waitedMs: 5000, fails: false });
      }
      expect(plan.left).toEqual([]);
      expect(done.every((times) => times === 1)).toBe(true);
    }),
  );
});

test('it begins with one chunk, and has more when they end by their time and need not wait', () => {
  const plan = new ChunkPlan([{ from: 0, to: 1000 }]);
  expect(plan.next()).toEqual({ from: 0, to: 1000 });
  expect(plan.next()).toBeNull();
  plan.ended({ from: 0, to: 1000 }, { to: 10, waitedMs: 0 });
  const two = [plan.next(), plan.next(), plan.next()];
  expect(two).toEqual([{ from: 10, to: 505 }, { from: 505, to: 1000 }, null]);
  plan.ended({ from: 10, to: 505 }, { to: 20, waitedMs: 3000 }); // all workers are busy: no more than two
  expect([plan.next(), plan.next()]).toEqual([{ from: 20, to: 505 }, null]);
});

test('when it is stopped, nothing is begun, and what was given up is left', () => {
  const plan = new ChunkPlan([{ from: 0, to: 10 }]);
  const range = plan.next() ?? { from: 0, to: 0 };
  plan.stop();
  plan.failed(range);
  expect(plan.next()).toBeNull();
  expect(plan.left).toEqual([{ from: 0, to: 10 }]);
});
