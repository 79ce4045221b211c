/* Waiting for a prediction in OpenAI's dialect: for its end, or for one piece of its text after the other. */
import type { Response } from 'express';
import type { Json } from '../../contract/payload.ts';
import type { Accepted, Ended } from '../../contract/prediction.ts';
import { isFinal } from '../../contract/prediction.ts';
import type { ModelRepository } from '../../models/repository.ts';
import type { Follower } from '../../records/follower.ts';
import { readJson } from '../../records/read-json.ts';
import type { Observation } from '../../records/prediction-reader.ts';
import { TextPieces } from '../../records/text-pieces.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import { onRevoked, revokedProblem } from '../http/access.ts';
import type { AnswerDependencies } from '../http/answer-accepted.ts';
import { roomFor } from '../http/answers.ts';
import { endProblem } from '../http/end-problem.ts';
import { Problem } from '../http/problems.ts';

/** OpenAI's clients wait for so long. */
const MAX_WAIT_S = 600;
/** The connection of a request that waits is silent for longer than others may be. */
const SILENCE_MS = (MAX_WAIT_S + 60) * 1000;

export interface EndDependencies extends Pick<
  AnswerDependencies,
  'reader' | 'predictions' | 'waitLimit'
> {
  readonly store: PayloadStore;
  readonly repository: ModelRepository;
  readonly follower: Follower;
  /** Aborted when the process is to end. */
  readonly stop: AbortSignal;
}

export type Succeeded = Extract<Ended, { status: 'succeeded' }>;

/** The end of a prediction, after a wait of ten minutes at most; throws a problem unless it succeeded. */
export async function succeededEnd(
  response: Response,
  accepted: Accepted,
  { predictions, reader, waitLimit }: EndDependencies,
): Promise<Succeeded> {
  const { id, tenant } = accepted;
  response.req.socket.setTimeout(SILENCE_MS);
  const waited = await waitLimit.bounded(response, MAX_WAIT_S, async (signal) => {
    return await predictions.waitForEnd(id, signal);
  });
  const ended = waited ?? (await reader.find(id, tenant)).ended;
  if (ended === null) {
    const detail = `${id} has not ended yet; it goes on, and can be read at /v1/predictions/${id}`;
    throw new Problem('not_ended', detail, { members: { prediction_id: id } });
  }
  if (ended.status !== 'succeeded') throw failure(accepted, ended);
  return ended;
}

/** A prediction without an output, as the error that its client sees. */
export function failure(
  accepted: Accepted,
  ended: Exclude<Ended, { status: 'succeeded' }>,
): Problem {
  const problem = endProblem(accepted, ended);
  const reason = ended.status === 'canceled' ? null : ended.error.reason;
  if (reason === null) return problem;
  const members = { ...problem.options.members, reason, param: inputOf(accepted) };
  return new Problem(problem.code, problem.message, { ...problem.options, members });
}

/** The parameter that holds what the model was given. */
const inputOf = ({ input }: Accepted): string => ('messages' in input ? 'messages' : 'prompt');

/** The output of a prediction. */
export const outputOf = async (
  { output }: Succeeded,
  response: Response,
  { store }: Pick<EndDependencies, 'store'>,
): Promise<Json> => await readJson(output, { store, room: roomFor(response) });

export type TextEvent =
  | { readonly type: 'started' }
  | {
      readonly type: 'piece';
      readonly text: string;
      /** Where it ends, in UTF-16 code units. */
      readonly end: number;
    }
  | { readonly type: 'ended'; readonly ended: Ended };

/**
 * What happens to a prediction: it starts, its text grows from `offset` on, it ends. Returns early when the client
 * has hung up or the process is to end. Throws a problem when the text has begun anew.
 */
export async function* textEvents(
  response: Response,
  accepted: Accepted,
  offset: number,
  dependencies: EndDependencies,
): AsyncGenerator<TextEvent> {
  const { store, repository, waitLimit, follower, stop, reader } = dependencies;
  const streamedText = repository.streamedText({ name: accepted.model, version: accepted.version });
  if (streamedText === null) throw new Problem('model_unavailable', `${accepted.model} is gone`);
  const seen = offset === 0 ? null : { attempt: Number.MAX_SAFE_INTEGER, offset };
  const pieces = new TextPieces(seen, { store, streamedText, room: roomFor(response) });
  waitLimit.enter(response);
  response.req.socket.setTimeout(SILENCE_MS);
  const latest = new Latest<Observation>();
  const stops = [
    follower.listen(accepted, {
      onRecord: (each) => latest.put(each),
      onError: (error) => latest.fail(error),
    }),
    onRevoked(response, () => latest.fail(revokedProblem())),
  ];
  const end = () => latest.end();
  response.once('close', end);
  stop.addEventListener('abort', end, { once: true });
  try {
    if (response.destroyed || stop.aborted) return;
    latest.put(await reader.observe(accepted.id, accepted.tenant));
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
      yield { type: 'ended', ended };
      return;
    }
  } finally {
    for (const stopListening of stops) stopListening();
    response.off('close', end);
    stop.removeEventListener('abort', end);
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
      if (value !== undefined) yield value;
      else if (this.#error !== undefined) throw this.#error;
      else if (this.#isOver) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
