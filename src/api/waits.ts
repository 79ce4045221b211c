/* Requests that wait for something to end. There are only so many at once: each holds a connection. */
import type { Response } from 'express';
import { tenantOf } from './access.ts';
import { Problem } from './problems.ts';

export class Waits {
  readonly #max: number;
  readonly #maxOfOne: number;
  readonly #ofTenants = new Map<string, number>();
  #count = 0;

  /** So many together, and of one tenant. */
  constructor(max: number, maxOfOne: number) {
    this.#max = max;
    this.#maxOfOne = maxOfOne;
  }

  /** Throws the problem `overloaded` when there is no place left for the tenant of this answer. */
  requireRoom(response: Response): void {
    if (this.#hasRoom(response)) return;
    const detail = `${this.#count} requests wait already (BUZZER_MAX_WAITING): poll, or come back later`;
    throw new Problem('overloaded', detail);
  }

  #hasRoom(response: Response): boolean {
    const ofTenant = this.#ofTenants.get(tenantOf(response)) ?? 0;
    return this.#count < this.#max && ofTenant < this.#maxOfOne;
  }

  #add(response: Response, change: 1 | -1): void {
    const tenant = tenantOf(response);
    this.#count += change;
    const ofTenant = (this.#ofTenants.get(tenant) ?? 0) + change;
    if (ofTenant === 0) this.#ofTenants.delete(tenant);
    else this.#ofTenants.set(tenant, ofTenant);
  }

  /** Takes a place until the answer is over; throws the problem `overloaded` when there is none. */
  enter(response: Response): void {
    this.requireRoom(response);
    if (response.destroyed) return; // it hung up: there is nothing to be over any more
    this.#add(response, 1);
    response.once('close', () => this.#add(response, -1));
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
    if (!this.#hasRoom(response)) {
      response.removeHeader('Preference-Applied');
      return null;
    }
    this.#add(response, 1);
    const controller = new AbortController();
    const abort = () => controller.abort();
    const timer = setTimeout(abort, seconds * 1000);
    response.once('close', abort);
    if (response.destroyed) abort(); // it hung up before we listened
    try {
      return await wait(controller.signal);
    } finally {
      this.#add(response, -1);
      clearTimeout(timer);
      response.off('close', abort);
    }
  }
}
