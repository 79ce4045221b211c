/*
 * How much a tenant may have under way, and how long a model's queue may get. Temporal's counts are
 * the truth for every API process; what this one has let in since is added until they show it.
 */
import type { AcceptedRequest } from '../contract/accepted-request.ts';
import { formatModelRef, modelRefOf } from '../contract/model.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import type { RecordFilter, RecordKind } from '../temporal/record-queries.ts';
import { Refusal } from '../contract/refusal.ts';

/** What started less than this ago may not be in Temporal's counts yet. */
const COUNT_LAG_MS = 2000;
/** How old a count may be; a younger one is asked for before anybody is refused. */
const COUNT_AGE_MS = 1000;
const COUNT_AGE_BEFORE_REFUSING_MS = 200;
const LOOKS_BEFORE_REFUSING = 16;
/** A tally that nobody has looked at for `UNASKED_MS` keeps at most this many entries. */
const UNASKED_MS = 10_000;
const MAX_UNASKED = 100;
const WINDOW_MS = 60_000;
/** A guess: nobody knows when a prediction ends, and a sixth of the sliding minute frees some places. */
const RETRY_AFTER_MS = { inFlight: 1000, perMinute: 10_000 };

export interface Quotas {
  /** Predictions that a tenant may submit within a minute; null: as many as it likes. */
  readonly perMinute: number | null;
  /** Predictions of a tenant that have not ended. */
  readonly inFlight: number;
  /** Batches of a tenant that have not ended. */
  readonly batches: number;
  /** Predictions of a model version that have not ended; a batch counts as one. */
  readonly backlog: number;
}

interface Limit {
  readonly most: number;
  readonly left: number;
}

export interface Allowance {
  readonly inFlight: Limit;
  /** Null: as many as it likes. */
  readonly perMinute: Limit | null;
}

export type Admission = Pick<AcceptedRequest, 'id' | 'tenant' | 'model' | 'version'> & {
  readonly kind: RecordKind;
};

const BOTH_KINDS: readonly RecordKind[] = ['prediction', 'batch'];

/** The place of a prediction or a batch that was let in. */
export interface Place {
  /** It has started: from now on Temporal counts it, sooner or later. */
  started(): void;
  /** It was not started: its place is free again. */
  release(): void;
}

/** The place of a repetition: what was accepted before has one already. */
export const NO_PLACE: Place = { started: () => {}, release: () => {} };

export class QuotaKeeper {
  readonly #quotas: Quotas;
  readonly #predictions: Pick<PredictionEngine, 'count' | 'hasEnded'>;
  readonly #shareOfBacklog: number;
  readonly #tallies = new Map<string, Tally>();

  /** With several tenants, one of them gets half of a model's backlog at most. */
  constructor(
    quotas: Quotas,
    predictions: Pick<PredictionEngine, 'count' | 'hasEnded'>,
    hasSeveralTenants = false,
  ) {
    this.#quotas = quotas;
    this.#predictions = predictions;
    this.#shareOfBacklog = hasSeveralTenants ? Math.ceil(quotas.backlog / 2) : quotas.backlog;
  }

  /** Makes room for a prediction or a batch. Refuses it as `rate_limited` or `overloaded`. */
  async admit(admission: Admission): Promise<Place> {
    const { backlog } = this.#quotas;
    const { perMinute, inFlight } = this.#limitsOf(admission);
    const { id } = admission;
    const [ofTenant, ofModel, ofBoth] = this.#talliesOf(admission);
    await Promise.all([
      ofModel.look({ running: backlog, started: Infinity }),
      ofTenant.look({ running: inFlight, started: perMinute ?? Infinity }),
    ]);
    // A tenant can only exceed its share when the whole backlog is that large: often nothing must be counted.
    const isCrowded = ofModel.now().running >= this.#shareOfBacklog;
    if (isCrowded) await ofBoth.look({ running: this.#shareOfBacklog, started: Infinity });
    // Nothing is awaited from here on, so no other request can take the place.
    if (ofModel.now().running >= backlog) {
      const label = formatModelRef(modelRefOf(admission));
      const detail = `${label} has ${backlog} requests to do already: send this one later`;
      throw new Refusal('overloaded', detail);
    }
    if (isCrowded && ofBoth.now().running >= this.#shareOfBacklog) {
      const label = formatModelRef(modelRefOf(admission));
      const share = `${this.#shareOfBacklog} requests of yours wait for ${label}`;
      const detail = `${share}, which is the share of one tenant: send this one later`;
      throw new Refusal('overloaded', detail);
    }
    const isBusy = ofTenant.now().running >= inFlight;
    if (isBusy || ofTenant.now().started >= (perMinute ?? Infinity)) {
      const detail = isBusy
        ? `${inFlight} ${NAMES[admission.kind]} of yours have not ended yet: send this one when some have`
        : `you have sent ${perMinute} predictions within a minute: send this one later`;
      const retryAfterMs = isBusy ? RETRY_AFTER_MS.inFlight : RETRY_AFTER_MS.perMinute;
      throw new Refusal('rate_limited', detail, { retryAfterMs });
    }
    const places = [ofTenant.add(id), ofModel.add(id), ofBoth.add(id)];
    return {
      started: () => places.forEach((place) => place.started()),
      release: () => places.forEach((place) => place.release()),
    };
  }

  /** Frees the place of what is known to have ended. */
  ended(admission: Admission): void {
    for (const tally of this.#talliesOf(admission)) tally.end(admission.id);
  }

  /** What a tenant may have, and has left of it. */
  allowance(tenant: string): Allowance {
    const { perMinute, inFlight } = this.#quotas;
    const { running, started } = this.#tally({ kinds: ['prediction'], tenant }).now();
    return {
      inFlight: { most: inFlight, left: Math.max(0, inFlight - running) },
      perMinute:
        perMinute === null ? null : { most: perMinute, left: Math.max(0, perMinute - started) },
    };
  }

  #talliesOf(admission: Admission): readonly [Tally, Tally, Tally] {
    const { kind, tenant } = admission;
    const model = modelRefOf(admission);
    return [
      this.#tally({ kinds: [kind], tenant }),
      this.#tally({ kinds: BOTH_KINDS, model }),
      this.#tally({ kinds: BOTH_KINDS, tenant, model }),
    ];
  }

  /** What a tenant may have of this kind. */
  #limitsOf({ kind }: Admission): Pick<Quotas, 'perMinute' | 'inFlight'> {
    return kind === 'batch' ? { perMinute: null, inFlight: this.#quotas.batches } : this.#quotas;
  }

  #tally(filter: RecordFilter): Tally {
    const { kinds, tenant = '', model } = filter;
    const key = `${kinds.join(' ')} ${tenant} ${model === undefined ? '' : formatModelRef(model)}`;
    let tally = this.#tallies.get(key);
    if (tally === undefined) {
      tally = new Tally(filter, this.#predictions);
      this.#tallies.set(key, tally);
    }
    return tally;
  }
}

/** `started`: within the latest minute. */
type Amounts = Readonly<Record<'running' | 'started', number>>;

/** One that was let in here; `startedAtMs` is null while its request is still being seen to. */
interface Recent {
  startedAtMs: number | null;
  isRunning: boolean;
}

const NAMES: Readonly<Record<RecordKind, string>> = { prediction: 'predictions', batch: 'batches' };

/** How many predictions or batches of a tenant, or of a model version, are there now. */
class Tally {
  readonly #filter: RecordFilter;
  readonly #predictions: Pick<PredictionEngine, 'count' | 'hasEnded'>;
  /** Of those that had started a while before it was asked for; null before the first answer. */
  #counted: Amounts | null = null;
  #countsStarted = false;
  #askedAtMs = 0;
  #asking: Promise<void> | null = null;
  /** Those let in here since. */
  readonly #recent = new Map<string, Recent>();
  #recentRunning = 0;

  constructor(filter: RecordFilter, predictions: Pick<PredictionEngine, 'count' | 'hasEnded'>) {
    this.#filter = filter;
    this.#predictions = predictions;
  }

  now(): Amounts {
    const { running, started } = this.#counted ?? { running: 0, started: 0 };
    return { running: running + this.#recentRunning, started: started + this.#recent.size };
  }

  /** Sees to it that the counts are young enough: of this moment, when a limit seems to be reached. */
  async look(limits: Amounts): Promise<void> {
    this.#countsStarted = limits.started !== Infinity;
    if (this.#counted === null) await this.#count();
    const ageMs = Date.now() - this.#askedAtMs;
    if (ageMs > COUNT_AGE_MS) void this.#count();
    const { running, started } = this.now();
    const isReached = running >= limits.running || started >= limits.started;
    if (!isReached || ageMs <= COUNT_AGE_BEFORE_REFUSING_MS) return;
    await this.#count();
    await this.#settleOldest().catch(() => {}); // the next one will look again
  }

  /** Before a request is refused, looks whether predictions let in here have ended, as nobody may have read that. */
  async #settleOldest(): Promise<void> {
    const open = [...this.#recent].filter(([, { startedAtMs, isRunning }]) => {
      return isRunning && startedAtMs !== null;
    });
    const looks = open.slice(0, LOOKS_BEFORE_REFUSING).map(async ([id]) => {
      if (await this.#predictions.hasEnded(id)) this.end(id);
    });
    await Promise.all(looks);
  }

  add(id: string): Place {
    if (this.#recent.has(id)) return NO_PLACE;
    this.#forgetUnasked();
    const entry: Recent = { startedAtMs: null, isRunning: true };
    this.#recent.set(id, entry);
    this.#recentRunning += 1;
    return {
      started: () => {
        entry.startedAtMs = Date.now();
      },
      release: () => this.#forget(id),
    };
  }

  /** When nobody has looked for a while, the next look counts anew, so older entries can be forgotten. */
  #forgetUnasked(): void {
    const nowMs = Date.now();
    if (this.#recent.size < MAX_UNASKED || nowMs - this.#askedAtMs < UNASKED_MS) return;
    this.#counted = null;
    for (const [id, { startedAtMs }] of this.#recent) {
      if (startedAtMs !== null && startedAtMs < nowMs - COUNT_LAG_MS) this.#forget(id);
    }
  }

  end(id: string): void {
    const entry = this.#recent.get(id);
    if (entry?.isRunning !== true) return;
    entry.isRunning = false;
    this.#recentRunning -= 1;
  }

  #forget(id: string): void {
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
      this.#predictions.count({ ...this.#filter, isRunning: true, beforeMs }),
      this.#countsStarted ? this.#predictions.count({ ...this.#filter, ...window }) : 0,
    ]);
    this.#counted = { running, started };
    for (const [id, { startedAtMs }] of this.#recent) {
      if (startedAtMs !== null && startedAtMs < beforeMs) this.#forget(id);
    }
  }
}
