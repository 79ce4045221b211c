/* /openai/v1/models: the models that can be used in OpenAI's dialect. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Response, Router } from 'express';
import type { ModelRepository, ModelVersion } from '../../models/repository.ts';
import { taskOf } from '../../pipelines/index.ts';
import type { Acceptance } from '../../submission/acceptance.ts';

/** The tasks that the dialect has words for. */
const TASKS: readonly (string | null)[] = [
  'text-generation',
  'feature-extraction',
  'text-to-image',
];

export function modelsRouter({
  repository,
  acceptance,
}: {
  readonly repository: ModelRepository;
  readonly acceptance: Acceptance;
}): Router {
  const router = Router();
  router.get('/models', async (_request, response: Response) => {
    const versions = repository
      .defaults()
      .filter(({ manifest }) => TASKS.includes(taskOf(manifest)));
    response.json({ object: 'list', data: await Promise.all(versions.map(modelOf)) });
  });
  router.get('/models/:model', async (request, response) => {
    response.json(await modelOf(acceptance.resolve(request.params.model)));
  });
  return router;
}

async function modelOf({ ref, folder }: ModelVersion) {
  const file = await stat(join(folder, 'model.json')).catch(async () => await stat(folder));
  return {
    id: ref.name,
    object: 'model',
    created: Math.floor(file.mtimeMs / 1000),
    owned_by: 'buzzer',
  };
}
