/* Requests that wait for something to end. There are only so many at once: each holds a connection. */
import type { Response } from 'express';
import { Problem } from './problems.ts';

export class Waits {
  readonly #max: number;
  #count = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Throws the problem `overloaded` when there is no place left. */
  requireRoom(): void {
    if (this.#count < this.#max) return;
    const detail = `${this.#max} requests wait already (BUZZER_MAX_WAITING): poll, or come back later`;
    throw new Problem('overloaded', detail);
  }

  /** Takes a place until the answer is over; throws the problem `overloaded` when there is none. */
  enter(response: Response): void {
    this.requireRoom();
    if (response.destroyed) return; // it hung up: there is nothing to be over any more
    this.#count += 1;
    response.once('close', () => {
      this.#count -= 1;
    });
  }

  /**
   * Runs `wait` with a signal that aborts after so many seconds, and when the client hangs up. When
   * too many wait already it does not wait, takes back what `Preference-Applied` said, and answers
   * null. (Not with AbortSignal.any and .timeout: on Node 20 what they refer to outlives the wait.)
   */
  async bounded<T>(
    response: Response,
    seconds: number,
    wait: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | null> {
    if (this.#count >= this.#max) {
      response.removeHeader('Preference-Applied');
      return null;
    }
    this.#count += 1;
    const controller = new AbortController();
    const abort = () => controller.abort();
    const timer = setTimeout(abort, seconds * 1000);
    response.once('close', abort);
    if (response.destroyed) abort(); // it hung up before we listened
    try {
      return await wait(controller.signal);
    } finally {
      this.#count -= 1;
      clearTimeout(timer);
      response.off('close', abort);
    }
  }
}
