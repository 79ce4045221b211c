/** Counts turns of the event loop, in which others are served, until it is stopped. */
export class Turns {
  count = 0;
  #isOver = false;

  constructor() {
    const next = () => {
      this.count += 1;
      if (!this.#isOver) setImmediate(next);
    };
    setImmediate(next);
  }

  stop(): void {
    this.#isOver = true;
  }
}
