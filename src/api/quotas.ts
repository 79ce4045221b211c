/*
 * How much a tenant may have under way, and how long a model's queue may get. Temporal's counts are
 * the truth for every API process; what this one has let in since is added until they show it.
 */
import type { Accepted } from '../contract/prediction.ts';
import { formatModelRef } from '../contract/model.ts';
import type { PredictionEngine, PredictionFilter } from '../temporal/prediction-engine.ts';
import { Problem } from './problems.ts';

/** What started less than this ago may not be in Temporal's counts yet. */
const COUNT_LAG_MS = 2000;
/** How old a count may be; a younger one is asked for before anybody is refused. */
const COUNT_AGE_MS = 1000;
const COUNT_AGE_BEFORE_REFUSING_MS = 200;
const WINDOW_MS = 60_000;
const RETRY_AFTER_S = 1;

export interface Quotas {
  /** Predictions that a tenant may submit within a minute; null: as many as it likes. */
  readonly perMinute: number | null;
  /** Predictions of a tenant that have not ended. */
  readonly inFlight: number;
  /** Predictions of a model version that have not ended. */
  readonly backlog: number;
}

type Admission = Pick<Accepted, 'id' | 'tenant' | 'model' | 'version'>;

export class QuotaKeeper {
  readonly #quotas: Quotas;
  readonly #engine: Pick<PredictionEngine, 'count'>;
  readonly #tallies = new Map<string, Tally>();

  constructor(quotas: Quotas, engine: Pick<PredictionEngine, 'count'>) {
    this.#quotas = quotas;
    this.#engine = engine;
  }

  /**
   * Makes room for a prediction. Throws the problems `rate_limited` and `overloaded`. What was let in
   * and does not start, or is known to have ended, is told to `ended`.
   */
  async admit({ id, tenant, model, version }: Admission): Promise<void> {
    const { perMinute, inFlight, backlog } = this.#quotas;
    const ref = { name: model, version };
    const ofTenant = this.#tally({ tenant });
    const ofModel = this.#tally({ model: ref });
    await Promise.all([
      ofModel.look({ running: backlog, started: Infinity }),
      ofTenant.look({ running: inFlight, started: perMinute ?? Infinity }),
    ]);
    // From here on nobody else has a turn until it is added.
    if (ofModel.now().running >= backlog) {
      const detail = `${formatModelRef(ref)} has ${backlog} predictions to do already: send this one later`;
      throw new Problem('overloaded', detail);
    }
    const isBusy = ofTenant.now().running >= inFlight;
    if (isBusy || ofTenant.now().started >= (perMinute ?? Infinity)) {
      const detail = isBusy
        ? `${inFlight} predictions of yours have not ended yet: send this one when some have`
        : `you have sent ${perMinute} predictions within a minute: send this one later`;
      const retryAfterS = isBusy ? RETRY_AFTER_S : Math.ceil(WINDOW_MS / 1000 / (perMinute ?? 1));
      const headers = { ...this.headers(tenant), 'Retry-After': String(retryAfterS) };
      throw new Problem('rate_limited', detail, { headers });
    }
    ofTenant.add(id);
    ofModel.add(id);
  }

  /** It takes no room any more. */
  ended(id: string): void {
    for (const tally of this.#tallies.values()) tally.end(id);
  }

  /** It never was: a start that failed. */
  forget(id: string): void {
    for (const tally of this.#tallies.values()) tally.forget(id);
  }

  /** What a tenant has left: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ */
  headers(tenant: string): Readonly<Record<string, string>> {
    const { perMinute, inFlight } = this.#quotas;
    const { running, started } = this.#tally({ tenant }).now();
    const policies = [`"in-flight";q=${inFlight}`];
    const states = [`"in-flight";r=${Math.max(0, inFlight - running)}`];
    if (perMinute !== null) {
      policies.push(`"per-minute";q=${perMinute};w=${WINDOW_MS / 1000}`);
      states.push(`"per-minute";r=${Math.max(0, perMinute - started)};t=${WINDOW_MS / 1000}`);
    }
    return { 'RateLimit-Policy': policies.join(', '), RateLimit: states.join(', ') };
  }

  #tally(filter: PredictionFilter): Tally {
    const key = JSON.stringify(filter);
    let tally = this.#tallies.get(key);
    if (tally === undefined) {
      tally = new Tally(filter, this.#engine);
      this.#tallies.set(key, tally);
    }
    return tally;
  }
}

/** `started`: within the latest minute. */
type Amounts = Readonly<Record<'running' | 'started', number>>;

/** How many predictions of a tenant, or of a model version, are there now. */
class Tally {
  readonly #filter: PredictionFilter;
  readonly #engine: Pick<PredictionEngine, 'count'>;
  /** Of those that had started a while before it was asked for. */
  #counted: Amounts = { running: 0, started: 0 };
  #countsStarted = false;
  #askedAtMs = 0;
  #asking: Promise<void> | null = null;
  /** Those let in here since. */
  readonly #recent = new Map<string, { readonly atMs: number; isRunning: boolean }>();
  #recentRunning = 0;

  constructor(filter: PredictionFilter, engine: Pick<PredictionEngine, 'count'>) {
    this.#filter = filter;
    this.#engine = engine;
  }

  now(): Amounts {
    const { running, started } = this.#counted;
    return { running: running + this.#recentRunning, started: started + this.#recent.size };
  }

  /** Sees to it that the counts are young enough: of this moment, when a limit seems to be reached. */
  async look(limits: Amounts): Promise<void> {
    this.#countsStarted = limits.started !== Infinity;
    const ageMs = Date.now() - this.#askedAtMs;
    if (this.#askedAtMs === 0) await this.#count();
    else if (ageMs > COUNT_AGE_MS) void this.#count();
    const { running, started } = this.now();
    const isReached = running >= limits.running || started >= limits.started;
    if (isReached && ageMs > COUNT_AGE_BEFORE_REFUSING_MS) await this.#count();
  }

  add(id: string): void {
    if (this.#recent.has(id)) return;
    this.#recent.set(id, { atMs: Date.now(), isRunning: true });
    this.#recentRunning += 1;
  }

  end(id: string): void {
    const entry = this.#recent.get(id);
    if (entry?.isRunning !== true) return;
    entry.isRunning = false;
    this.#recentRunning -= 1;
  }

  forget(id: string): void {
    this.end(id);
    this.#recent.delete(id);
  }

  /** When Temporal does not answer in time, the last counts stay, and what is let in adds up. */
  async #count(): Promise<void> {
    this.#asking ??= this.#ask()
      .catch(() => {})
      .finally(() => {
        this.#asking = null;
      });
    await this.#asking;
  }

  async #ask(): Promise<void> {
    const now = Date.now();
    this.#askedAtMs = now;
    const beforeMs = now - COUNT_LAG_MS;
    const window = { isRunning: false, beforeMs, sinceMs: now - WINDOW_MS };
    const [running, started] = await Promise.all([
      this.#engine.count({ ...this.#filter, isRunning: true, beforeMs }),
      this.#countsStarted ? this.#engine.count({ ...this.#filter, ...window }) : 0,
    ]);
    this.#counted = { running, started };
    for (const [id, { atMs }] of this.#recent) {
      if (atMs < beforeMs) this.forget(id);
    }
  }
}
