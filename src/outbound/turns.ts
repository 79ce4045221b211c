/*
 * How many requests one origin (scheme, host, port) gets at once, and how many one tenant may make. A
 * receiver that hangs must not take the slots of all the others, nor a tenant whose receivers all
 * hang; so whoever would wait long for a turn is sent away with a time to come back: each gets a time
 * of its own, so that few come in vain.
 */

/** How many may wait here for a turn, and how long. The others are sent away. */
const MAX_WAITING = 16;
const MAX_WAIT_MS = 2000;
/** The assumed duration of a request before one has ended. */
const FIRST_GUESS_MS = 100;
const SHORTEST_ABSENCE_MS = 1000;
const LONGEST_ABSENCE_MS = 300_000;
/** The weight of the past in the estimate. */
const SMOOTHING = 0.3;

/** Ends a turn. Call it once. */
type EndTurn = () => void;

export type Taken =
  | { readonly kind: 'turn'; readonly end: EndTurn }
  /** All turns are taken: ask again after so many milliseconds. */
  | { readonly kind: 'busy'; readonly retryInMs: number };

interface Line {
  /** The start times of the requests that run. */
  readonly running: Set<{ readonly sinceMs: number }>;
  /** Those who wait: each gets a turn when one becomes free. */
  readonly waiting: Set<(turn: EndTurn) => void>;
  typicalMs: number;
  /** The times at which those who were sent away will come back. */
  returning: readonly number[];
}

export class Turns {
  readonly #lines = new Map<string, Line>();
  readonly #maxRunning: number;

  /** `maxRunning`: how many turns each name has at once. */
  constructor(maxRunning: number) {
    this.#maxRunning = maxRunning;
  }

  /** A turn, or in how many milliseconds to ask again. Rejects with the signal's reason. */
  async take(name: string, signal: AbortSignal): Promise<Taken> {
    signal.throwIfAborted();
    const line = this.#lineOf(name);
    if (line.running.size < this.#maxRunning && line.waiting.size === 0) {
      return { kind: 'turn', end: this.#begin(name, line) };
    }
    const expectedMs = ((line.waiting.size + 1) * this.#typicalMs(line)) / this.#maxRunning;
    if (line.waiting.size >= MAX_WAITING || expectedMs > MAX_WAIT_MS) {
      return { kind: 'busy', retryInMs: this.#promise(line) };
    }
    const end = await waitForTurn(line, signal);
    if (end !== null) return { kind: 'turn', end };
    return { kind: 'busy', retryInMs: this.#promise(line) };
  }

  #lineOf(name: string): Line {
    let line = this.#lines.get(name);
    if (line === undefined) {
      line = {
        running: new Set(),
        waiting: new Set(),
        typicalMs: FIRST_GUESS_MS,
        returning: [],
      };
      this.#lines.set(name, line);
    }
    return line;
  }

  #begin(name: string, line: Line): EndTurn {
    const turn = { sinceMs: Date.now() };
    line.running.add(turn);
    return () => {
      line.running.delete(turn);
      const tookMs = Date.now() - turn.sinceMs;
      line.typicalMs += SMOOTHING * (tookMs - line.typicalMs);
      const [next] = line.waiting;
      next?.(this.#begin(name, line));
      this.#forget(name, line);
    };
  }

  /** A request that has run for longer than the estimate raises it. */
  #typicalMs(line: Line): number {
    const ages = [...line.running].map(({ sinceMs }) => Date.now() - sinceMs);
    return Math.max(line.typicalMs, ...ages);
  }

  /** A time after all that were promised; if that is far away, a random time in the second half of the longest pause. */
  #promise(line: Line): number {
    const nowMs = Date.now();
    const before = line.returning.filter((atMs) => atMs > nowMs);
    const queueMs = (before.length * this.#typicalMs(line)) / this.#maxRunning;
    const wantedMs = SHORTEST_ABSENCE_MS + queueMs;
    const absenceMs =
      wantedMs < LONGEST_ABSENCE_MS / 2
        ? wantedMs
        : Math.min(wantedMs, LONGEST_ABSENCE_MS * (1 + Math.random()) * 0.5);
    line.returning = [...before, nowMs + absenceMs];
    return absenceMs;
  }

  /** A name that nobody uses and nobody will come back to is forgotten. */
  #forget(name: string, line: Line): void {
    if (line.running.size > 0 || line.waiting.size > 0) return;
    if (line.returning.every((atMs) => atMs <= Date.now())) this.#lines.delete(name);
  }
}

/** How many turns there are at once. */
export interface OutboundLimits {
  readonly perTenant: number;
  /** For all tenants together. */
  readonly perOrigin: number;
  /** For one tenant at one origin, so that its hanging requests leave turns there for others. */
  readonly perTenantAndOrigin: number;
}

/** Turns of a tenant's requests to an origin: a request needs one of each kind. */
export class OutboundTurns {
  readonly #tenants: Turns;
  readonly #tenantsAtOrigins: Turns;
  readonly #origins: Turns;

  constructor({ perTenant, perOrigin, perTenantAndOrigin }: OutboundLimits) {
    this.#tenants = new Turns(perTenant);
    this.#tenantsAtOrigins = new Turns(perTenantAndOrigin);
    this.#origins = new Turns(perOrigin);
  }

  /** A turn, or in how many milliseconds to ask again. Rejects with the signal's reason. */
  async take(
    { tenant, origin }: { readonly tenant: string; readonly origin: string },
    signal: AbortSignal,
  ): Promise<Taken> {
    const needed: readonly [Turns, string][] = [
      [this.#tenants, tenant],
      [this.#tenantsAtOrigins, `${tenant} ${origin}`],
      [this.#origins, origin],
    ];
    const held: EndTurn[] = [];
    const end = () => {
      for (const endOne of held.splice(0).toReversed()) endOne();
    };
    let taken: Taken | null = null;
    try {
      for (const [turns, name] of needed) {
        taken = await turns.take(name, signal);
        if (taken.kind === 'busy') return taken;
        held.push(taken.end);
      }
      return { kind: 'turn', end };
    } finally {
      if (taken?.kind !== 'turn' || held.length < needed.length) end();
    }
  }
}

/** Null when the patience ended first. Only the first of these events counts. */
async function waitForTurn(line: Line, signal: AbortSignal): Promise<EndTurn | null> {
  return await new Promise((resolve, reject) => {
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      line.waiting.delete(onTurn);
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
    line.waiting.add(onTurn);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
