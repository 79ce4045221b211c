/* /openai/v1/responses: OpenAI's own word for what a prediction is, with `background` above all. */
import { type Request, type Response, Router } from 'express';
import type { Accepted } from '../../contract/prediction.ts';
import { tenantOf } from '../http/access.ts';
import { parseQuery } from '../http/queries.ts';
import {
  type Asked,
  bodyAs,
  optionsFor,
  order,
  requireReader,
  stopOf,
  versionFor,
} from './orders.ts';
import { type AskedResponse, predictionIdOf } from './response-object.ts';
import { shownResponse } from './response-reading.ts';
import { streamResponse } from './response-stream.ts';
import { type ResponseRequest, responseSchema, retrieveQuerySchema } from './schemas.ts';
import { cancelOnHangUp, type TextDependencies } from './texts.ts';

/** How long a cancel waits for the end. */
const CANCEL_WAIT_S = 5;
/** How long a response that is not made in the background is waited for. */
const CREATE_WAIT_S = 600;

export function responsesRouter(dependencies: TextDependencies): Router {
  const { acceptance, bodies, reader, predictions, waitLimit } = dependencies;
  const router = Router();

  router.post('/responses', bodies.json, async (request, response) => {
    const body = bodyAs(responseSchema, request);
    const { background = false, stream = false } = body;
    if (stream || !background) {
      requireReader(response);
      waitLimit.requireRoom(response); // before it is accepted
    }
    const version = versionFor(acceptance, body.model, 'text-generation');
    const { accepted } = await order(request, response, version, askedOf(body), dependencies);
    if (stream) {
      if (!background) cancelOnHangUp(response, accepted, dependencies);
      await streamResponse(response, accepted, -1, dependencies);
      return;
    }
    if (!background) await waitForEnd(response, accepted, CREATE_WAIT_S, dependencies);
    response.json(await shownResponse(accepted.id, response, dependencies));
  });

  router.get('/responses/:id', async (request: Request<{ id: string }>, response) => {
    const id = predictionIdOf(request.params.id);
    const query = parseQuery(retrieveQuerySchema, request.query);
    if (query.stream !== 'true') {
      response.json(await shownResponse(id, response, dependencies));
      return;
    }
    const { accepted } = await reader.find(id, tenantOf(response));
    const after = query.starting_after === undefined ? -1 : Number(query.starting_after);
    await streamResponse(response, accepted, after, dependencies);
  });

  router.post('/responses/:id/cancel', async (request: Request<{ id: string }>, response) => {
    const id = predictionIdOf(request.params.id);
    const { accepted, ended } = await reader.find(id, tenantOf(response));
    if (ended === null) {
      await predictions.cancel(id);
      await waitForEnd(response, accepted, CANCEL_WAIT_S, dependencies);
    }
    response.json(await shownResponse(id, response, dependencies));
  });
  return router;
}

function askedOf(body: ResponseRequest): Asked {
  const { instructions, input, background = false } = body;
  const given = typeof input === 'string' ? [{ role: 'user', content: input }] : input;
  const messages = given.map(({ role, content }) => ({ role, content }));
  const first = instructions === undefined ? [] : [{ role: 'system', content: instructions }];
  const asked: AskedResponse = { background, hasInstructions: instructions !== undefined };
  return {
    input: { messages: [...first, ...messages], ...stopOf(body) },
    options: optionsFor(body, body.max_output_tokens),
    request: body,
    asked: { ...asked },
  };
}

async function waitForEnd(
  response: Response,
  { id }: Accepted,
  seconds: number,
  { predictions, waitLimit }: TextDependencies,
): Promise<void> {
  response.req.socket.setTimeout((seconds + 60) * 1000);
  await waitLimit.bounded(response, seconds, async (signal) => {
    return await predictions.waitForEnd(id, signal);
  });
}
