import { predictionFollower } from '../../../src/records/followers.ts';
import type { Observation } from '../../../src/records/prediction-reader.ts';
import type { Accepted, Ended, Prediction } from '../../../src/contract/prediction.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import { EngineUnavailableError } from '../../../src/temporal/timely-calls.ts';
import { until } from '../../support/conditions.ts';

const logger = createLogger('test', 'silent');
const record = (status: string, completed_at: string | null = null) =>
  ({ status, attempt: 1, progress: null, queue: null, completed_at }) as Prediction;

/** An engine and a reader that say what the test wants. */
function fake() {
  let end: () => void = () => {};
  const state = { reads: 0, waits: 0, stopped: 0, answer: () => record('processing') };
  const watches = predictionFollower({
    logger,
    reader: {
      observe: async () => {
        state.reads += 1;
        return await Promise.resolve({
          accepted: {} as Accepted,
          record: state.answer(),
          work: null,
          ended: null,
        });
      },
    },
    isStreaming: () => false,
    predictions: {
      waitForEnd: async (_id, signal) => {
        state.waits += 1;
        signal.addEventListener('abort', () => (state.stopped += 1));
        return await new Promise<Ended | null>((resolve) => {
          end = () => resolve(null);
        });
      },
    },
  });
  return { state, watches, end: () => end() };
}

const listener = () => {
  const seen: string[] = [];
  const errors: unknown[] = [];
  return {
    seen,
    errors,
    onRecord: ({ record: { status } }: Observation) => void seen.push(status),
    onError: (error: unknown) => void errors.push(error),
  };
};

const prediction = (id: string) => ({ id, tenant: 'default' });

test('however many listen, a prediction is watched once, and all hear of its end at once', async () => {
  const { state, watches, end } = fake();
  const listeners = Array.from({ length: 10 }, listener);
  for (const each of listeners) watches.listen(prediction('pred_1'), each);
  watches.listen(prediction('pred_2'), listener());
  await until('the first look', () => (listeners[0]?.seen.length === 1 ? true : undefined));

  expect([watches.size, state.waits]).toEqual([2, 2]);
  state.answer = () => record('succeeded', 'now');
  end(); // of the watch that was made last
  await until('its end', () => (watches.size === 1 ? true : undefined), 300); // sooner than a look
  await until('the other end', () => (watches.size === 0 ? true : undefined));
  for (const { seen } of listeners) expect(seen).toEqual(['processing', 'succeeded']);
});

test('when the last listener has gone nothing is watched any more', async () => {
  const { state, watches } = fake();
  const stops = [listener(), listener()].map((each) => watches.listen(prediction('pred_1'), each));
  stops[0]?.();
  expect(watches.size).toBe(1);
  stops[1]?.();
  const { reads } = state;
  await new Promise((resolve) => setTimeout(resolve, 700)); // longer than between two looks

  expect([watches.size, state.stopped]).toEqual([0, 1]);
  expect(state.reads).toBeLessThanOrEqual(reads + 1);
});

test('an engine that is away is waited for; a prediction that is gone is not', async () => {
  const { state, watches } = fake();
  const one = listener();
  state.answer = () => {
    throw new EngineUnavailableError('away');
  };
  watches.listen(prediction('pred_1'), one);
  await until('a look', () => (state.reads > 0 ? true : undefined));
  expect(one.errors).toEqual([]);
  state.answer = () => {
    throw new Error('it was deleted');
  };
  await until('the listener to be told', () => (one.errors.length > 0 ? true : undefined));

  expect(watches.size).toBe(0);
});

test('a thousand predictions that are watched are looked at 200 times a second at most', async () => {
  jest.useFakeTimers();
  try {
    const { state, watches } = fake();
    const stops = Array.from({ length: 1000 }, (_, index) =>
      watches.listen(prediction(`pred_${index}`), listener()),
    );
    await jest.advanceTimersByTimeAsync(0);
    const before = state.reads;
    await jest.advanceTimersByTimeAsync(30_000);
    for (const stop of stops) stop();

    expect(before).toBe(1000);
    expect(state.reads - before).toBeLessThanOrEqual(30 * 200);
    expect(state.reads - before).toBeGreaterThan(20 * 200);
  } finally {
    jest.useRealTimers();
  }
});
