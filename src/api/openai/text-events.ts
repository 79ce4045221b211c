/* A prediction whose text is followed while it is written. */
import type { Response } from 'express';
import type { Json } from '../../contract/payload.ts';
import { type Accepted, type Ended, isFinal } from '../../contract/prediction.ts';
import { TextPieces } from '../../records/text-pieces.ts';
import { roomFor } from '../http/answers.ts';
import { Problem } from '../http/problems.ts';
import { generatedIn } from './generated.ts';
import { type FollowDependencies, observationsOf } from './observations.ts';

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
  dependencies: FollowDependencies,
): AsyncGenerator<TextEvent> {
  const { store } = dependencies;
  const textOf = (output: Json) => generatedIn(output).generated_text;
  const seen = offset === 0 ? null : { attempt: Number.MAX_SAFE_INTEGER, offset };
  const pieces = new TextPieces(seen, { store, textOf, room: roomFor(response) });
  let isStarted = false;
  for await (const observation of observationsOf(response, accepted, dependencies)) {
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
}
