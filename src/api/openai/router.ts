/* /openai/v1: the dialect of OpenAI's clients. Whatever they ask for is a prediction like any other. */
import { Router } from 'express';
import { embeddingsRouter } from './embeddings.ts';
import { modelsRouter } from './models.ts';
import { responsesRouter } from './responses.ts';
import { type TextDependencies, textsRouter } from './texts.ts';

export type OpenAiDependencies = TextDependencies & Parameters<typeof modelsRouter>[0];

export function openAiRouter(dependencies: OpenAiDependencies): Router {
  const router = Router();
  const routers = [textsRouter, responsesRouter, embeddingsRouter, modelsRouter];
  for (const routerOf of routers) router.use(routerOf(dependencies));
  return router;
}
