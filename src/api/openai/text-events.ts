/* A prediction whose text is followed while it is written. */
import type { Response } from 'express';
import type { Json } from '../../contract/payload.ts';
import { type Accepted, type Ended, isFinal } from '../../contract/prediction.ts';
import type { Follower } from '../../records/follower.ts';
import type { Observation } from '../../records/prediction-reader.ts';
import { TextPieces } from '../../records/text-pieces.ts';
import { onRevoked, revokedProblem } from '../http/access.ts';
import { roomFor } from '../http/answers.ts';
import { Problem } from '../http/problems.ts';
import { type EndDependencies, notEnded, SILENCE_MS } from './ends.ts';
import { generatedIn } from './generated.ts';

export interface FollowDependencies extends EndDependencies {
  readonly follower: Follower<Observation>;
}

export type TextEvent =
  | { readonly type: 'started' }
  | {
      readonly type: 'piece';
      readonly text: string;
      /** Where it ends, in UTF-16 code units. */
      readonly end: number;
    }
  | {
      readonly type: 'ended';
      readonly ended: Ended;
      /** Null: it has not succeeded. */
      readonly output: Json | null;
    };

/**
 * What happens to a prediction: it starts, its text grows from `offset` on, it ends. Returns early when the client has
 * hung up. Throws a problem when the text has begun anew, and when the process is to end.
 */
export async function* textEvents(
  response: Response,
  accepted: Accepted,
  offset: number,
  { store, waitLimit, follower, stop }: FollowDependencies,
): AsyncGenerator<TextEvent> {
  const textOf = (output: Json) => generatedIn(output).generated_text;
  const seen = offset === 0 ? null : { attempt: Number.MAX_SAFE_INTEGER, offset };
  const pieces = new TextPieces(seen, { store, textOf, room: roomFor(response) });
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
    let isStarted = false;
    for await (const observation of latest) {
      const { record, ended } = observation;
      if (!isStarted && record.status !== 'queued') {
        isStarted = true;
        yield { type: 'started' };
      }
      const piece = await pieces.next(observation);
      if (piece?.reset === true) {
        const detail = `the text of ${accepted.id} has begun anew: read it when it has ended`;
        throw new Problem('inference_failed', detail);
      }
      if (piece !== null) {
        yield { type: 'piece', text: piece.text, end: piece.offset + piece.text.length };
      }
      if (!isFinal(record) || ended === null) continue;
      yield { type: 'ended', ended, output: pieces.output };
      return;
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
