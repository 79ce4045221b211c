/* Reads a response: its prediction, and what of it lies in the store. */
import type { Response } from 'express';
import type { Json } from '../../contract/payload.ts';
import type { Accepted, Ended } from '../../contract/prediction.ts';
import { partialOf } from '../../contract/prediction-record.ts';
import type { WorkSoFar } from '../../contract/work.ts';
import { readJson } from '../../records/read-json.ts';
import type { PredictionMemo } from '../../temporal/prediction-memo.ts';
import { mayRead, tenantOf } from '../http/access.ts';
import { roomFor } from '../http/answers.ts';
import { Problem } from '../http/problems.ts';
import { outputOf } from './ends.ts';
import { responseObject } from './response-object.ts';
import { generatedIn } from './generated.ts';
import type { TextDependencies } from './texts.ts';

/** A response as it is now. */
export async function shownResponse(
  id: string,
  response: Response,
  dependencies: TextDependencies,
): Promise<ReturnType<typeof responseObject>> {
  const { reader } = dependencies;
  const { accepted, ended, record, work } = await reader.observe(id, tenantOf(response));
  requireResponse(accepted);
  if (!mayRead(response)) {
    return responseObject({ accepted, ended, text: null, instructions: null });
  }
  const instructions = await instructionsOf(accepted, response, dependencies);
  if (ended !== null) {
    const isDone = ended.status === 'succeeded';
    const output = isDone ? await outputOf(ended, response, dependencies) : null;
    const state = { accepted, ended, output, instructions };
    return await endedResponse(state, response, dependencies);
  }
  const text = await textOf(work, response, dependencies);
  return responseObject({ accepted, ended, status: record.status, text, instructions });
}

/** The prediction that is a response; throws a problem when it is another one. */
export async function findResponse(
  id: string,
  response: Response,
  { reader }: Pick<TextDependencies, 'reader'>,
): Promise<PredictionMemo> {
  const found = await reader.find(id, tenantOf(response));
  requireResponse(found.accepted);
  return found;
}

function requireResponse({ id, asked }: Accepted): void {
  if (asked !== undefined) return;
  throw new Problem('not_found', `${id} was not asked for as a response: read it at /v1`, {
    members: { param: 'response_id' },
  });
}

/** What is known of a response that has ended; its output is null when it has not succeeded. */
interface EndedState {
  readonly accepted: Accepted;
  readonly ended: Ended;
  readonly output: Json | null;
  readonly instructions: string | null;
}

export async function endedResponse(
  { output, ...state }: EndedState,
  response: Response,
  dependencies: TextDependencies,
) {
  if (output !== null) {
    const { generated_text: text, finish_reason: finish } = generatedIn(output);
    return responseObject({ ...state, text, finish });
  }
  const text = await textOf(partialOf(state.ended), response, dependencies);
  return responseObject({ ...state, text });
}

/** The text so far. Only a text from its beginning on may be shown as the text; null: there is none. */
async function textOf(
  work: WorkSoFar | null,
  response: Response,
  { reader }: Pick<TextDependencies, 'reader'>,
): Promise<string | null> {
  if (work === null) return null;
  const { offset, text } = await reader.partialText(work, roomFor(response));
  return offset === 0 ? text : null;
}

/** The instructions are the first message of the input. */
export async function instructionsOf(
  { input, asked }: Accepted,
  response: Response,
  { store }: TextDependencies,
): Promise<string | null> {
  const { messages } = input;
  if (asked?.['hasInstructions'] !== true || messages === undefined) return null;
  if (messages.kind === 'url') return null;
  const all: Json = await readJson(messages, { store, room: roomFor(response) });
  const [first] = all as readonly { readonly content: string }[];
  return first?.content ?? null;
}
