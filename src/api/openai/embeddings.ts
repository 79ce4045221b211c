/* /openai/v1/embeddings: one prediction for all texts of a request. */
import { type Request, type Response, Router } from 'express';
import type { Accepted } from '../../contract/prediction.ts';
import { requireReader } from '../http/access.ts';
import { roomFor } from '../http/answers.ts';
import { outputOf, succeededEnd } from './ends.ts';
import { tokensOf } from './generated.ts';
import { bodyAs, order, READER_ADVICE, versionFor } from './orders.ts';
import { embeddingsAsked } from './requests.ts';
import { embeddingsSchema } from './schemas.ts';
import type { TextDependencies } from './texts.ts';

/** About what a number takes as JSON. */
const NUMBER_BYTES = 20;

export function embeddingsRouter(dependencies: TextDependencies): Router {
  const router = Router();
  router.post('/embeddings', dependencies.bodies.json, async (request, response) => {
    const { accepted, isBase64 } = await submit(request, response, dependencies);
    const ended = await succeededEnd(response, accepted, dependencies);
    // What a model of this task answers was checked where it ran.
    const embeddings = (await outputOf(ended, response, dependencies)) as readonly number[][];
    const { prompt } = tokensOf(ended.metrics);
    await roomFor(response).turn(NUMBER_BYTES * embeddings.length * (embeddings[0]?.length ?? 0));
    response.json({
      object: 'list',
      data: embeddings.map((embedding, index) => ({
        object: 'embedding',
        index,
        embedding: isBase64 ? base64Of(embedding) : embedding,
      })),
      model: accepted.model,
      usage: { prompt_tokens: prompt, total_tokens: prompt },
    });
  });
  return router;
}

/** Of the request only this is kept while the client waits. */
async function submit(
  request: Request,
  response: Response,
  dependencies: TextDependencies,
): Promise<{ readonly accepted: Accepted; readonly isBase64: boolean }> {
  const body = bodyAs(embeddingsSchema, request, ([first]) => first === 'input');
  requireReader(response, READER_ADVICE);
  const version = versionFor(dependencies.acceptance, body.model, 'feature-extraction');
  dependencies.waitLimit.requireRoom(response);
  const { accepted } = await order(request, response, version, embeddingsAsked(body), dependencies);
  return { accepted, isBase64: body.encoding_format === 'base64' };
}

/** FP32, the lowest byte first. */
function base64Of(embedding: readonly number[]): string {
  const bytes = Buffer.alloc(embedding.length * 4);
  for (const [index, value] of embedding.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}
