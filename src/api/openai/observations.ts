/* A prediction that is followed for a client that waits for its answer. */
import type { Response } from 'express';
import { type Accepted, isFinal } from '../../contract/prediction.ts';
import type { Follower } from '../../records/follower.ts';
import type { Observation } from '../../records/prediction-reader.ts';
import { onRevoked, revokedProblem } from '../http/access.ts';
import { type EndDependencies, notEnded, SILENCE_MS } from './ends.ts';

export interface FollowDependencies extends EndDependencies {
  readonly follower: Follower<Observation>;
}

/**
 * What is seen of a prediction until its end, which comes last; a slow reader gets only the latest. Returns early when
 * the client has hung up. Throws a problem when the process is to end, or the client may no longer read.
 */
export async function* observationsOf(
  response: Response,
  accepted: Accepted,
  { waitLimit, follower, stop }: FollowDependencies,
): AsyncGenerator<Observation> {
  waitLimit.enter(response);
  response.req.socket.setTimeout(SILENCE_MS);
  const latest = new Latest<Observation>();
  const end = () => latest.end();
  const giveUp = () => latest.fail(notEnded(accepted.id));
  response.once('close', end);
  stop.addEventListener('abort', giveUp, { once: true });
  const stops = [
    onRevoked(response, () => latest.fail(revokedProblem())),
    follower.listen(accepted, {
      onRecord: (each) => latest.put(each),
      onError: (error) => latest.fail(error),
    }),
  ];
  if (response.destroyed) end();
  if (stop.aborted) giveUp();
  try {
    for await (const observation of latest) {
      yield observation;
      if (isFinal(observation.record)) return;
    }
  } finally {
    for (const stopListening of stops) stopListening();
    response.off('close', end);
    stop.removeEventListener('abort', giveUp);
  }
}

/** The latest of several values, for one reader that may be slower than they come. */
class Latest<T> {
  #value: T | undefined;
  #error: unknown;
  #isOver = false;
  #wake = () => {};

  put(value: T): void {
    this.#value = value;
    this.#wake();
  }

  fail(error: unknown): void {
    this.#error ??= error;
    this.end();
  }

  end(): void {
    this.#isOver = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const value = this.#value;
      this.#value = undefined;
      if (this.#error !== undefined) throw this.#error;
      if (value !== undefined) yield value;
      else if (this.#isOver) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
