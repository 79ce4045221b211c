/* /openai/v1/responses: OpenAI's own word for what a prediction is, with `background` above all. */
import { type Request, type Response, Router } from 'express';
import type { Accepted } from '../../contract/prediction.ts';
import { requireReader } from '../http/access.ts';
import { parseQuery } from '../http/queries.ts';
import { waitForEnd } from './ends.ts';
import { cancelOnHangUp } from './hang-up.ts';
import {
  type Asked,
  bodyAs,
  optionsFor,
  order,
  READER_ADVICE,
  stopOf,
  versionFor,
} from './orders.ts';
import { type AskedResponse, predictionIdOf } from './response-object.ts';
import { findResponse, shownResponse } from './response-reading.ts';
import { streamResponse } from './response-stream.ts';
import { type ResponseRequest, responseSchema, retrieveQuerySchema } from './schemas.ts';
import type { TextDependencies } from './texts.ts';

/** How long a cancel waits for the end. */
const CANCEL_WAIT_S = 5;

export function responsesRouter(dependencies: TextDependencies): Router {
  const router = Router();

  router.post('/responses', dependencies.bodies.json, async (request, response) => {
    const { accepted, isBackground, isStream } = await submit(request, response, dependencies);
    if (isStream) {
      if (!isBackground) cancelOnHangUp(response, accepted, dependencies);
      await streamResponse(response, accepted, -1, dependencies);
      return;
    }
    if (!isBackground) await waitForEnd(response, accepted, dependencies);
    response.json(await shownResponse(accepted.id, response, dependencies));
  });

  router.get('/responses/:id', async (request: Request<{ id: string }>, response) => {
    const id = predictionIdOf(request.params.id);
    const query = parseQuery(retrieveQuerySchema, request.query);
    if (query.stream !== 'true') {
      response.json(await shownResponse(id, response, dependencies));
      return;
    }
    const { accepted } = await findResponse(id, response, dependencies);
    const after = query.starting_after === undefined ? -1 : Number(query.starting_after);
    await streamResponse(response, accepted, after, dependencies);
  });

  router.post('/responses/:id/cancel', async (request: Request<{ id: string }>, response) => {
    const id = predictionIdOf(request.params.id);
    const { accepted, ended } = await findResponse(id, response, dependencies);
    if (ended === null) {
      await dependencies.predictions.cancel(id);
      await waitForEnd(response, accepted, dependencies, CANCEL_WAIT_S);
    }
    response.json(await shownResponse(id, response, dependencies));
  });
  return router;
}

/** Of the request only this is kept while the client waits. */
async function submit(
  request: Request,
  response: Response,
  dependencies: TextDependencies,
): Promise<{
  readonly accepted: Accepted;
  readonly isBackground: boolean;
  readonly isStream: boolean;
}> {
  const body = bodyAs(responseSchema, request);
  const { background: isBackground = false, stream: isStream = false } = body;
  if (isStream || !isBackground) {
    requireReader(response, READER_ADVICE);
    dependencies.waitLimit.requireRoom(response); // before it is accepted
  }
  const version = versionFor(dependencies.acceptance, body.model, 'text-generation');
  const { accepted } = await order(request, response, version, askedOf(body), dependencies);
  return { accepted, isBackground, isStream };
}

function askedOf(body: ResponseRequest): Asked {
  const { instructions, input, background = false } = body;
  const given = typeof input === 'string' ? [{ role: 'user', content: input }] : input;
  const messages = given.map(({ role, content }) => ({ role, content }));
  const first = instructions === undefined ? [] : [{ role: 'system', content: instructions }];
  const asked: AskedResponse = {
    background,
    hasInstructions: instructions !== undefined,
    maxOutputTokens: body.max_output_tokens ?? null,
  };
  return {
    input: { messages: [...first, ...messages], ...stopOf(body) },
    options: optionsFor(body, body.max_output_tokens),
    request: body,
    asked: { ...asked },
  };
}
