/*
 * How many requests one origin (scheme, host, port) gets at once. A receiver that hangs must not
 * take the slots of all the others, so whoever would wait long for a turn is sent away with a time
 * to come back: each gets a time of its own, so that few come in vain.
 */

/** So many wait here for a turn, and so long; the others are sent away. */
const MAX_WAITING = 16;
const MAX_WAIT_MS = 2000;
/** What a request takes until one has been seen. */
const FIRST_GUESS_MS = 100;
const SHORTEST_ABSENCE_MS = 1000;
const LONGEST_ABSENCE_MS = 300_000;
/** How much of an origin's past is in its estimate. */
const SMOOTHING = 0.3;

/** Ends a turn; called once. */
export type EndTurn = () => void;

interface Origin {
  /** When each request that runs has begun. */
  readonly running: Set<{ readonly sinceMs: number }>;
  /** Each is handed the turn that has become free. */
  readonly waiting: Set<(turn: EndTurn) => void>;
  typicalMs: number;
  /** When those who were sent away will come back. */
  returning: readonly number[];
}

export class OriginTurns {
  readonly #origins = new Map<string, Origin>();
  readonly #maxRunning: number;

  /** So many requests does one origin get at once. */
  constructor(maxRunning: number) {
    this.#maxRunning = maxRunning;
  }

  /** A turn, or in how many milliseconds to ask again. Rejects with the signal's reason. */
  async take(origin: string, signal: AbortSignal): Promise<EndTurn | { retryInMs: number }> {
    signal.throwIfAborted();
    const state = this.#stateOf(origin);
    if (state.running.size < this.#maxRunning && state.waiting.size === 0) {
      return this.#begin(origin, state);
    }
    const expectedMs = ((state.waiting.size + 1) * this.#typicalMs(state)) / this.#maxRunning;
    if (state.waiting.size >= MAX_WAITING || expectedMs > MAX_WAIT_MS) {
      return { retryInMs: this.#promise(state) };
    }
    return (await waitForTurn(state, signal)) ?? { retryInMs: this.#promise(state) };
  }

  #stateOf(origin: string): Origin {
    let state = this.#origins.get(origin);
    if (state === undefined) {
      state = {
        running: new Set(),
        waiting: new Set(),
        typicalMs: FIRST_GUESS_MS,
        returning: [],
      };
      this.#origins.set(origin, state);
    }
    return state;
  }

  #begin(origin: string, state: Origin): EndTurn {
    const turn = { sinceMs: Date.now() };
    state.running.add(turn);
    return () => {
      state.running.delete(turn);
      const tookMs = Date.now() - turn.sinceMs;
      state.typicalMs += SMOOTHING * (tookMs - state.typicalMs);
      const [next] = state.waiting;
      next?.(this.#begin(origin, state));
      this.#forget(origin, state);
    };
  }

  /** One that runs for longer than the others did says more than they do. */
  #typicalMs(state: Origin): number {
    const ages = [...state.running].map(({ sinceMs }) => Date.now() - sinceMs);
    return Math.max(state.typicalMs, ...ages);
  }

  /** After all who have been promised a time; far away, anywhere in the second half of the longest. */
  #promise(state: Origin): number {
    const nowMs = Date.now();
    const before = state.returning.filter((atMs) => atMs > nowMs);
    const queueMs = (before.length * this.#typicalMs(state)) / this.#maxRunning;
    const wantedMs = SHORTEST_ABSENCE_MS + queueMs;
    const absenceMs =
      wantedMs < LONGEST_ABSENCE_MS / 2
        ? wantedMs
        : Math.min(wantedMs, LONGEST_ABSENCE_MS * (1 + Math.random()) * 0.5);
    state.returning = [...before, nowMs + absenceMs];
    return absenceMs;
  }

  /** An origin that nobody uses and to whom nobody returns is as good as new. */
  #forget(origin: string, state: Origin): void {
    if (state.running.size > 0 || state.waiting.size > 0) return;
    if (state.returning.every((atMs) => atMs <= Date.now())) this.#origins.delete(origin);
  }
}

/** Null when the patience ended first. Whatever comes first, nothing else can come after it. */
async function waitForTurn(state: Origin, signal: AbortSignal): Promise<EndTurn | null> {
  return await new Promise((resolve, reject) => {
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      state.waiting.delete(onTurn);
    };
    const onTurn = (turn: EndTurn) => {
      settle();
      resolve(turn);
    };
    const onAbort = () => {
      settle();
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      settle();
      resolve(null);
    }, MAX_WAIT_MS);
    state.waiting.add(onTurn);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
