/* /openai/v1: the dialect of OpenAI's clients. Whatever they ask for is a prediction like any other. */
import { Router } from 'express';
import { batchesRouter } from './batches.ts';
import { embeddingsRouter } from './embeddings.ts';
import { type ImagesDependencies, imagesRouter } from './images.ts';
import { filesRouter } from './files.ts';
import { modelsRouter } from './models.ts';
import { responsesRouter } from './responses.ts';
import { textsRouter } from './texts.ts';

export type OpenAiDependencies = ImagesDependencies &
  Parameters<typeof modelsRouter>[0] &
  Parameters<typeof filesRouter>[0] &
  Parameters<typeof batchesRouter>[0];

export function openAiRouter(dependencies: OpenAiDependencies): Router {
  const router = Router();
  for (const routerOf of ROUTERS) router.use(routerOf(dependencies));
  return router;
}

const ROUTERS: readonly ((dependencies: OpenAiDependencies) => Router)[] = [
  textsRouter,
  responsesRouter,
  embeddingsRouter,
  imagesRouter,
  modelsRouter,
  filesRouter,
  batchesRouter,
];
