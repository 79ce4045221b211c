/* Large JSON: one piece of work at a time, and others in between. */
import { HeavyWork } from '../../../src/records/heavy-work.ts';

const LARGE = 10 * 1024 ** 2;

test('between two turns the event loop goes on', async () => {
  const work = new HeavyWork();
  const seen: string[] = [];
  let isOver = false;
  const others = () => {
    seen.push('others');
    if (!isOver) setImmediate(others);
  };
  setImmediate(others);
  const turns = Array.from({ length: 3 }, async (_, index) => {
    await work.turn(LARGE);
    seen.push(`work ${index}`);
  });
  await Promise.all(turns);
  isOver = true;

  expect(seen.join(' ')).toMatch(/work 0 (?:others )+work 1 (?:others )+work 2/);
});

test('only so much is parsed at once; what waits begins when there is room', async () => {
  const work = new HeavyWork();
  const end = await work.begin(LARGE);
  let hasBegun = false;
  const second = work.begin(LARGE).then((done) => {
    hasBegun = true;
    return done;
  });
  const small = await work.begin(1000);
  small();
  await new Promise(setImmediate);

  expect(hasBegun).toBe(false);
  end();
  end(); // once is enough
  (await second)();
  expect(hasBegun).toBe(true);
});

test('whoever waits too long is sent away', async () => {
  jest.useFakeTimers();
  try {
    const work = new HeavyWork();
    await work.begin(LARGE);
    const second = work.begin(LARGE).catch((error: unknown) => error);
    await jest.advanceTimersByTimeAsync(5000);
    expect(await second).toMatchObject({ code: 'overloaded' });
  } finally {
    jest.useRealTimers();
  }
});
