/* What is let in, counted with Temporal's counts and our own. */
import { rateLimitHeaders } from '../../../src/api/http/rate-limit-headers.ts';
import { QuotaKeeper } from '../../../src/submission/quotas.ts';
import type { CountQuery } from '../../../src/temporal/record-queries.ts';

/** An engine whose counts a test sets; it answers when it is let. */
function keeper(limits: { inFlight?: number; backlog?: number; perMinute?: number | null } = {}) {
  const counts = { running: 0, started: 0, asked: 0 };
  const ended = new Set<string>();
  let gate: Promise<void> = Promise.resolve();
  const engine = {
    count: async ({ isRunning }: CountQuery) => {
      counts.asked += 1;
      await gate;
      return isRunning ? counts.running : counts.started;
    },
    hasEnded: async (id: string) => await Promise.resolve(ended.has(id)),
  };
  const quotas = new QuotaKeeper(
    { inFlight: 3, batches: 2, backlog: 100, perMinute: null, ...limits },
    engine,
  );
  const hold = () => {
    let open = () => {};
    gate = new Promise((resolve) => {
      open = resolve;
    });
    return open;
  };
  return { quotas, counts, ended, hold };
}

const prediction = (id: number, tenant = 'acme') => ({
  kind: 'prediction' as const,
  id: `pred_${id}`,
  tenant,
  model: 'ocr',
  version: 1,
});

async function outcomes(attempts: readonly Promise<unknown>[]): Promise<number[]> {
  const settled = await Promise.allSettled(attempts);
  return ['fulfilled', 'rejected'].map(
    (status) => settled.filter((each) => each.status === status).length,
  );
}

test('of many at once only so many are let in, though none has been counted yet', async () => {
  const { quotas, hold } = keeper();
  const open = hold();
  const attempts = Array.from({ length: 10 }, async (_, id) => await quotas.admit(prediction(id)));
  open();
  expect(await outcomes(attempts)).toEqual([3, 7]);
});

test('the first count is waited for by all: a full tenant gets nothing in', async () => {
  const { quotas, counts, hold } = keeper();
  counts.running = 3;
  const open = hold();
  const attempts = [1, 2, 3].map(async (id) => await quotas.admit(prediction(id)));
  open();
  expect(await outcomes(attempts)).toEqual([0, 3]);
});

test('what is released, or known to have ended, makes room', async () => {
  const { quotas } = keeper({ inFlight: 2 });
  const [first] = [await quotas.admit(prediction(1)), await quotas.admit(prediction(2))];
  await expect(quotas.admit(prediction(3))).rejects.toMatchObject({ code: 'rate_limited' });
  first.release();
  (await quotas.admit(prediction(3))).started();
  await expect(quotas.admit(prediction(4))).rejects.toMatchObject({ code: 'rate_limited' });
  quotas.ended(prediction(3));
  await quotas.admit(prediction(4));
});

test('before somebody is refused, those that have ended unseen are looked for', async () => {
  jest.useFakeTimers({ now: 1_000_000 });
  try {
    const { quotas, ended } = keeper({ inFlight: 2 });
    for (const id of [1, 2]) (await quotas.admit(prediction(id))).started();
    jest.advanceTimersByTime(300);
    await expect(quotas.admit(prediction(3))).rejects.toMatchObject({ code: 'rate_limited' });
    ended.add('pred_1');
    jest.advanceTimersByTime(300);
    await quotas.admit(prediction(3));
  } finally {
    jest.useRealTimers();
  }
});

test('a repetition has no place of its own to give back', async () => {
  const { quotas } = keeper({ inFlight: 2 });
  await quotas.admit(prediction(1));
  (await quotas.admit(prediction(1))).release();
  expect(rateLimitHeaders(quotas.allowance('acme'))['RateLimit']).toBe('"in-flight";r=1');
});

test('one whose upload takes long keeps its place until it has started and been counted', async () => {
  jest.useFakeTimers({ now: 1_000_000 });
  try {
    const { quotas } = keeper({ inFlight: 1 });
    const place = await quotas.admit(prediction(1));
    for (let second = 0; second < 10; second++) {
      jest.advanceTimersByTime(1000);
      await expect(quotas.admit(prediction(2))).rejects.toMatchObject({ code: 'rate_limited' });
    }
    place.started();
    jest.advanceTimersByTime(1000);
    await expect(quotas.admit(prediction(2))).rejects.toMatchObject({ code: 'rate_limited' });
    jest.advanceTimersByTime(3000); // by now Temporal would count it, if it still ran
    await quotas.admit(prediction(2));
  } finally {
    jest.useRealTimers();
  }
});

test('tenants have quotas of their own, and share the backlog of a model', async () => {
  const { quotas } = keeper({ inFlight: 2, backlog: 3 });
  await quotas.admit(prediction(1));
  await quotas.admit(prediction(2));
  await quotas.admit(prediction(3, 'other'));
  await expect(quotas.admit(prediction(4, 'other'))).rejects.toMatchObject({ code: 'overloaded' });
});

test('the rate counts what has started, also what has ended', async () => {
  const { quotas } = keeper({ perMinute: 2 });
  for (const id of [1, 2]) {
    (await quotas.admit(prediction(id))).started();
    quotas.ended(prediction(id));
  }
  const refused = quotas.admit(prediction(3));
  await expect(refused).rejects.toMatchObject({ code: 'rate_limited' });
  expect(rateLimitHeaders(quotas.allowance('acme'))).toEqual({
    'RateLimit-Policy': '"in-flight";q=3, "per-minute";q=2;w=60',
    RateLimit: '"in-flight";r=3, "per-minute";r=0;t=60',
  });
});
