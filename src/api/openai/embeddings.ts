/* /openai/v1/embeddings: one prediction for all texts of a request. */
import { Router } from 'express';
import { z } from 'zod';
import { outputOf, succeededEnd } from './ends.ts';
import { bodyAs, order, requireReader, versionFor } from './orders.ts';
import { embeddingsSchema } from './schemas.ts';
import { type TextDependencies, tokensOf } from './texts.ts';

const outputSchema = z.array(z.array(z.number()));

export function embeddingsRouter(dependencies: TextDependencies): Router {
  const { acceptance, bodies, waitLimit } = dependencies;
  const router = Router();
  router.post('/embeddings', bodies.json, async (request, response) => {
    const body = bodyAs(embeddingsSchema, request);
    const isBase64 = body.encoding_format === 'base64';
    requireReader(response);
    const version = versionFor(acceptance, body.model, 'feature-extraction');
    waitLimit.requireRoom(response);
    const asked = { input: { inputs: listOf(body.input) }, options: {}, request: body };
    const { accepted } = await order(request, response, version, asked, dependencies);
    const ended = await succeededEnd(response, accepted, dependencies);
    const embeddings = outputSchema.parse(await outputOf(ended, response, dependencies));
    const { prompt } = tokensOf(ended.metrics);
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

/** One text, or the tokens of one, as a list of one. */
function listOf(input: unknown): unknown {
  const isList = Array.isArray(input) && typeof input[0] !== 'number';
  return isList ? input : [input];
}

/** FP32, the lowest byte first. */
function base64Of(embedding: readonly number[]): string {
  const bytes = Buffer.alloc(embedding.length * 4);
  for (const [index, value] of embedding.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}
