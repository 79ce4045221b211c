/* Requests that wait for something to end. There are only so many at once: each holds a connection. */
import type { Response } from 'express';
import { onRevoked, revokedProblem, tenantOf } from './access.ts';
import { Problem } from './problems.ts';
import type { Shares } from './shares.ts';

export class WaitLimit {
  readonly #places: Shares;

  constructor(places: Shares) {
    this.#places = places;
  }

  /** Throws the problem `overloaded` when there is no place left for the tenant of this answer. */
  requireRoom(response: Response): void {
    if (this.#hasRoom(response)) return;
    const detail = `${this.#places.taken} requests wait already (BUZZER_MAX_WAITING): poll, or come back later`;
    throw new Problem('overloaded', detail);
  }

  #hasRoom(response: Response): boolean {
    return this.#places.hasRoom(tenantOf(response), 1);
  }

  /** Takes a place until the answer is over; throws the problem `overloaded` when there is none. */
  enter(response: Response): void {
    this.requireRoom(response);
    if (response.destroyed) return; // it hung up: there is nothing to be over any more
    const tenant = tenantOf(response);
    this.#places.take(tenant, 1);
    response.once('close', () => this.#places.giveBack(tenant, 1));
  }

  /**
   * Runs `wait` with a signal that aborts after so many seconds, and when the client hangs up. When
   * too many wait already it does not wait, takes back what `Preference-Applied` said, and answers
   * null. Throws the problem `unauthorized` when the key was revoked meanwhile. (Not with
   * AbortSignal.any and .timeout: on Node 20 what they refer to outlives the wait.)
   */
  async bounded<T>(
    response: Response,
    seconds: number,
    wait: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | null> {
    if (!this.#hasRoom(response)) {
      response.removeHeader('Preference-Applied');
      return null;
    }
    const tenant = tenantOf(response);
    this.#places.take(tenant, 1);
    const controller = new AbortController();
    const abort = () => controller.abort();
    let isRevoked = false;
    const stopListening = onRevoked(response, () => {
      isRevoked = true;
      abort();
    });
    const timer = setTimeout(abort, seconds * 1000);
    response.once('close', abort);
    if (response.destroyed) abort(); // it hung up before we listened
    try {
      const waited = await wait(controller.signal);
      if (isRevoked) throw revokedProblem();
      return waited;
    } finally {
      stopListening();
      this.#places.giveBack(tenant, 1);
      clearTimeout(timer);
      response.off('close', abort);
    }
  }
}
