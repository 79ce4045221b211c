import { OutboundTurns, type Taken, Turns } from '../../../src/outbound/turns.ts';

const ORIGIN = 'https://slow.example';
const never = () => new AbortController().signal;
const isTurn = (taken: Taken | undefined): taken is Extract<Taken, { kind: 'turn' }> =>
  taken?.kind === 'turn';

async function takeAll(turns: Turns, count: number, origin = ORIGIN) {
  return await Promise.all(
    Array.from({ length: count }, async () => await turns.take(origin, never())),
  );
}

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

test('an origin gets four at once; another has four of its own', async () => {
  const turns = new Turns(4);
  const four = await takeAll(turns, 4);
  const others = await takeAll(turns, 4, 'https://other.example');
  const fifth = turns.take(ORIGIN, never());
  const early = await Promise.race([fifth, Promise.resolve('nothing yet')]);

  expect([...four, ...others].every(isTurn)).toBe(true);
  expect(early).toBe('nothing yet');
  if (isTurn(four[0])) four[0].end();
  expect(isTurn(await fifth)).toBe(true);
});

test('a turn that is handed over is never had by two', async () => {
  const turns = new Turns(4);
  let running = 0;
  let most = 0;
  const useTwice = async () => {
    for (let use = 0; use < 2; use++) {
      const turn = await turns.take(ORIGIN, never());
      if (!isTurn(turn)) return;
      most = Math.max(most, (running += 1));
      await Promise.resolve();
      running -= 1;
      turn.end();
    }
  };
  await Promise.all(Array.from({ length: 20 }, useTwice));

  expect(most).toBe(4);
  expect(running).toBe(0);
});

test('whoever would wait long is sent away, each with a time of its own', async () => {
  const turns = new Turns(4);
  await takeAll(turns, 4); // and these hang
  jest.advanceTimersByTime(15_000);
  const sentAway = (await takeAll(turns, 40)) as { retryInMs: number }[];
  const times = sentAway.map(({ retryInMs }) => retryInMs);

  expect(times[0]).toBeGreaterThanOrEqual(1000);
  expect(times[4]).toBeCloseTo((times[0] ?? 0) + 15_000); // four at once, 15 s each
  expect(Math.max(...times)).toBeLessThanOrEqual(300_000);
});

test('an origin that has recovered is believed at once', async () => {
  const turns = new Turns(4);
  const hung = await takeAll(turns, 4);
  jest.advanceTimersByTime(15_000);
  await takeAll(turns, 400); // all sent away
  for (const turn of hung) if (isTurn(turn)) turn.end();
  for (let count = 0; count < 40; count++) {
    const turn = await turns.take(ORIGIN, never());
    jest.advanceTimersByTime(10);
    if (isTurn(turn)) turn.end();
  }
  await takeAll(turns, 4);
  const waiting = Array.from({ length: 16 }, async () => await turns.take(ORIGIN, never()));
  const next = await turns.take(ORIGIN, never());

  expect(waiting).toHaveLength(16);
  expect(next).toEqual({ kind: 'busy', retryInMs: expect.any(Number) as unknown });
  expect((next as { retryInMs: number }).retryInMs).toBeLessThan(1000 + 400 * 10);
});

test('whoever waits in vain is sent away after two seconds', async () => {
  const turns = new Turns(4);
  await takeAll(turns, 4);
  const fifth = turns.take(ORIGIN, never());
  jest.advanceTimersByTime(2000);

  expect(await fifth).toEqual({ kind: 'busy', retryInMs: expect.any(Number) as unknown });
});

test('one that gives up while it waits leaves its place to the next', async () => {
  const turns = new Turns(4);
  const [first] = await takeAll(turns, 4);
  const controller = new AbortController();
  const fifth = turns.take(ORIGIN, controller.signal);
  const sixth = turns.take(ORIGIN, never());
  controller.abort(new Error('stopped'));
  await expect(fifth).rejects.toThrow('stopped');
  if (isTurn(first)) first.end();

  expect(isTurn(await sixth)).toBe(true);
});

test('a tenant whose receivers all hang has its share, and others have theirs', async () => {
  const turns = new OutboundTurns({ perTenant: 8, perOrigin: 4, perTenantAndOrigin: 4 });
  const take = (tenant: string, index: number) =>
    turns.take({ tenant, origin: `https://${index}.example` }, never());
  const hanging = Array.from({ length: 8 }, async (_, index) => await take('greedy', index));
  expect((await Promise.all(hanging)).every(isTurn)).toBe(true);
  jest.advanceTimersByTime(60_000);
  expect(await take('greedy', 9)).toEqual({ kind: 'busy', retryInMs: expect.any(Number) });
  expect(isTurn(await take('modest', 0))).toBe(true);
});

test('a tenant whose requests to an origin hang leaves turns there for others', async () => {
  const turns = new OutboundTurns({ perTenant: 100, perOrigin: 4, perTenantAndOrigin: 2 });
  const take = (tenant: string) => turns.take({ tenant, origin: ORIGIN }, never());
  expect([await take('greedy'), await take('greedy')].every(isTurn)).toBe(true);
  jest.advanceTimersByTime(60_000);
  for (let tries = 0; tries < 300; tries++) expect(isTurn(await take('greedy'))).toBe(false);
  const [one, two] = [await take('modest'), await take('modest')];
  expect([one, two].every(isTurn)).toBe(true);
  if (isTurn(one)) one.end();
  expect(isTurn(await take('modest'))).toBe(true);
});

test('whoever is sent away from an origin holds nothing of its tenant’s share', async () => {
  const turns = new OutboundTurns({ perTenant: 5, perOrigin: 4, perTenantAndOrigin: 4 });
  const take = () => turns.take({ tenant: 'a', origin: ORIGIN }, never());
  const four = await Promise.all(Array.from({ length: 4 }, take));
  jest.advanceTimersByTime(60_000);
  for (let tries = 0; tries < 10; tries++) expect(isTurn(await take())).toBe(false);
  for (const turn of four) if (isTurn(turn)) turn.end();
  expect((await Promise.all(Array.from({ length: 4 }, take))).every(isTurn)).toBe(true);
});
