/*
 * Dynamic batching: the inferences that wait for a model version, and which of them run together next. It decides;
 * it neither runs nor times anything.
 *
 *  B1  Higher priority first (1 before 5), and in the order of arrival within a priority.
 *  B2  Only entries of the same key share a batch; those without a key run alone.
 *  B3  A batch leaves when it is full, or when its oldest entry has waited `maxDelayMs`.
 */

export interface BatchEntry {
  /** Entries of the same key may run as one; null: only alone. */
  readonly key: string | null;
  /** 1 (first) to 5. */
  readonly priority: number;
  /** Milliseconds since the epoch. */
  readonly arrivedAtMs: number;
}

export interface BatchingLimits {
  readonly maxSize: number;
  /** 0: a batch takes only what is waiting already. */
  readonly maxDelayMs: number;
}

export class Batcher<Entry extends BatchEntry> {
  readonly #limits: BatchingLimits;
  /** In the order of B1. */
  #waiting: Entry[] = [];

  constructor(limits: BatchingLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#waiting.length;
  }

  add(entry: Entry): void {
    const before = this.#waiting.findLastIndex(({ priority }) => priority <= entry.priority);
    this.#waiting.splice(before + 1, 0, entry);
  }

  /** Takes an entry out; false when it is no longer here. */
  remove(entry: Entry): boolean {
    const index = this.#waiting.indexOf(entry);
    if (index !== -1) this.#waiting.splice(index, 1);
    return index !== -1;
  }

  /** The next batch that may run; empty when there is none (yet: see `nextAtMs`). */
  take(nowMs: number): readonly Entry[] {
    const batch = this.#batches().find((each) => this.#leavesAtMs(each) <= nowMs) ?? [];
    const taken = new Set(batch);
    if (taken.size > 0) this.#waiting = this.#waiting.filter((entry) => !taken.has(entry));
    return batch;
  }

  /** When the next batch leaves, full or not; null when nothing waits. */
  nextAtMs(): number | null {
    const times = this.#batches().map((batch) => this.#leavesAtMs(batch));
    return times.length === 0 ? null : Math.min(...times);
  }

  /** Empties it. */
  takeAll(): readonly Entry[] {
    const all = this.#waiting;
    this.#waiting = [];
    return all;
  }

  /** For each key the first batch that could run, in the order of B1 (B2). */
  #batches(): readonly (readonly Entry[])[] {
    const byKey = new Map<string | symbol, Entry[]>();
    for (const entry of this.#waiting) {
      const key = entry.key ?? Symbol('alone');
      const batch = byKey.get(key);
      if (batch === undefined) byKey.set(key, [entry]);
      else if (batch.length < this.#limits.maxSize) batch.push(entry);
    }
    return [...byKey.values()];
  }

  /** B3. */
  #leavesAtMs(batch: readonly Entry[]): number {
    const { maxSize, maxDelayMs } = this.#limits;
    const oldestAtMs = Math.min(...batch.map(({ arrivedAtMs }) => arrivedAtMs));
    const isComplete = batch.length >= maxSize || batch[0]?.key === null;
    return isComplete ? oldestAtMs : oldestAtMs + maxDelayMs;
  }
}
