/* What a run says of how far it is. */

/** So many must be done before anything is said of the rest. */
const MIN_DONE = 3;

export class Pace {
  readonly #total: number;
  readonly #before: number;
  readonly #startedAtMs = performance.now();

  /** Of so many pages or steps; `before`: how many of them earlier attempts have done. */
  constructor(total: number, before: number) {
    this.#total = total;
    this.#before = before;
  }

  /** `where` the run is when so many are done, and how long the rest will take. */
  message(where: string, done: number): string {
    const own = done - this.#before;
    if (own < MIN_DONE) return where;
    const seconds = ((performance.now() - this.#startedAtMs) / 1000 / own) * (this.#total - done);
    return `${where}, about ${duration(seconds)} left`;
  }
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.round(minutes / 6) / 10} h`;
}
