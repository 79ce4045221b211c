/* Reads a response: its prediction, and what of it lies in the store. */
import type { Response } from 'express';
import type { Json } from '../../contract/payload.ts';
import {
  type Accepted,
  type Ended,
  isFinal,
  type PartialOutput,
} from '../../contract/prediction.ts';
import { partialOf } from '../../contract/prediction-record.ts';
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
  const tenant = tenantOf(response);
  const { accepted, ended } = await findResponse(id, response, dependencies);
  if (!mayRead(response)) {
    return responseObject({ accepted, ended, text: null, instructions: null });
  }
  const instructions = await instructionsOf(accepted, response, dependencies);
  if (ended !== null) {
    return await endedResponse(accepted, ended, instructions, response, dependencies);
  }
  const record = await reader.read(id, tenant, roomFor(response));
  if (isFinal(record)) return await shownResponse(id, response, dependencies); // it has ended meanwhile
  const text = wholeText(record.partial_output);
  return responseObject({ accepted, ended, status: record.status, text, instructions });
}

/** The prediction that is a response; throws a problem when it is another one. */
export async function findResponse(
  id: string,
  response: Response,
  { reader }: Pick<TextDependencies, 'reader'>,
): Promise<PredictionMemo> {
  const found = await reader.find(id, tenantOf(response));
  if (found.accepted.asked !== undefined) return found;
  throw new Problem('not_found', `${id} was not asked for as a response: read it at /v1`, {
    members: { param: 'response_id' },
  });
}

/** Only a text from its beginning on may be shown as the text. */
const wholeText = (partial: PartialOutput | null): string | null =>
  partial !== null && partial.offset === 0 ? partial.text : null;

export async function endedResponse(
  accepted: Accepted,
  ended: Ended,
  instructions: string | null,
  response: Response,
  dependencies: TextDependencies,
) {
  if (ended.status === 'succeeded') {
    const output = await outputOf(ended, response, dependencies);
    const { generated_text: text } = generatedIn(output);
    return responseObject({ accepted, ended, text, instructions }, output);
  }
  const work = partialOf(ended);
  const record = work && (await dependencies.reader.ended(accepted, ended, roomFor(response)));
  const text = wholeText(record?.partial_output ?? null);
  return responseObject({ accepted, ended, text, instructions });
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
