/* What a run says of how far it is. */

/** So many pages must be done before anything is said of the rest. */
const MIN_PAGES = 3;

export class Pace {
  readonly #total: number;
  readonly #before: number;
  readonly #startedAtMs = performance.now();

  /** `before`: how many of all pages earlier attempts have done. */
  constructor(total: number, before: number) {
    this.#total = total;
    this.#before = before;
  }

  /** Of a page that begins when so many are done. */
  message(done: number): string {
    const own = done - this.#before;
    const where = `page ${done + 1} of ${this.#total}`;
    if (own < MIN_PAGES) return where;
    const seconds = ((performance.now() - this.#startedAtMs) / 1000 / own) * (this.#total - done);
    return `${where}, about ${duration(seconds)} left`;
  }
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.round(minutes / 6) / 10} h`;
}
