/* Waiting for the end of a prediction in OpenAI's dialect. */
import type { Response } from 'express';
import type { Json } from '../../contract/payload.ts';
import type { Accepted, Ended } from '../../contract/prediction.ts';
import { readJson } from '../../records/read-json.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import type { AnswerDependencies } from '../http/answer-accepted.ts';
import { roomFor } from '../http/answers.ts';
import { endProblem } from '../http/end-problem.ts';
import { Problem } from '../http/problems.ts';

/** OpenAI's clients wait for so long. */
const MAX_WAIT_S = 600;
/** The connection of a request that waits is silent for longer than others may be. */
export const SILENCE_MS = (MAX_WAIT_S + 60) * 1000;

export interface EndDependencies extends Pick<
  AnswerDependencies,
  'reader' | 'predictions' | 'waitLimit'
> {
  readonly store: PayloadStore;
  /** Aborted when the process is to end. */
  readonly stop: AbortSignal;
}

export type Succeeded = Extract<Ended, { status: 'succeeded' }>;

/** Waits for the end of a prediction, for so many seconds at most, and not while the process ends. */
export async function waitForEnd(
  response: Response,
  { id }: Pick<Accepted, 'id'>,
  { predictions, waitLimit, stop }: EndDependencies,
  seconds = MAX_WAIT_S,
): Promise<Ended | null> {
  response.req.socket.setTimeout(SILENCE_MS);
  return await waitLimit.bounded(response, seconds, async (signal) => {
    let end = () => {};
    const stopped = new Promise<null>((resolve) => {
      end = () => resolve(null);
    });
    stop.addEventListener('abort', end, { once: true });
    if (stop.aborted) end();
    try {
      return await Promise.race([predictions.waitForEnd(id, signal), stopped]);
    } finally {
      stop.removeEventListener('abort', end);
    }
  });
}

/** The end of a prediction, after a wait of ten minutes at most; throws a problem unless it succeeded. */
export async function succeededEnd(
  response: Response,
  accepted: Accepted,
  dependencies: EndDependencies,
): Promise<Succeeded> {
  const { id, tenant } = accepted;
  const waited = await waitForEnd(response, accepted, dependencies);
  const ended = waited ?? (await dependencies.reader.find(id, tenant)).ended;
  if (ended === null) throw notEnded(id);
  if (ended.status !== 'succeeded') throw failure(accepted, ended);
  return ended;
}

/** The prediction goes on, and its client waits no longer for it. */
export function notEnded(id: string): Problem {
  const detail = `${id} has not ended yet; it goes on, and can be read at /v1/predictions/${id}`;
  return new Problem('not_ended', detail, { members: { prediction_id: id } });
}

/** A prediction without an output, as the error that its client sees. */
export function failure(
  accepted: Accepted,
  ended: Exclude<Ended, { status: 'succeeded' }>,
): Problem {
  const problem = endProblem(accepted, ended);
  const reason = ended.status === 'canceled' ? null : ended.error.reason;
  if (reason === null) return problem;
  const param = 'messages' in accepted.input ? 'messages' : 'prompt';
  const members = { ...problem.options.members, reason, param };
  return new Problem(problem.code, problem.message, { ...problem.options, members });
}

/** The output of a prediction. */
export const outputOf = async (
  { output }: Succeeded,
  response: Response,
  { store }: Pick<EndDependencies, 'store'>,
): Promise<Json> => await readJson(output, { store, room: roomFor(response) });
