/* Other terms for a prediction that waits in its model's queue. */
import { Router } from 'express';
import type { Prediction } from '../contract/prediction.ts';
import { HasEndedError } from '../temporal/prediction-engine.ts';
import { tenantOf } from './access.ts';
import type { PredictionsDependencies } from './predictions.ts';
import { Problem } from './problems.ts';
import { parsePredictionId, requireJson } from './requests.ts';
import { parseBody, predictionChangesSchema } from './schemas.ts';
import { sendRecord } from './send-record.ts';
import { changedTerms } from './terms.ts';

export function predictionChangesRouter(
  dependencies: Pick<PredictionsDependencies, 'reader' | 'engine' | 'load' | 'bodies'>,
): Router {
  const { reader, engine, load, bodies } = dependencies;
  const router = Router();

  router.patch('/predictions/:id', bodies.json, async (request, response) => {
    requireJson(request);
    const changes = parseBody(predictionChangesSchema, request.body);
    const id = parsePredictionId(request.params.id);
    const tenant = tenantOf(response);
    const before = await reader.read(id, tenant);
    requireQueued(before);
    await engine
      .changeTerms(id, changedTerms(before, changes, Date.now()))
      .catch((error: unknown) => {
        if (error instanceof HasEndedError) throw new Problem('not_queued', error.message);
        throw error;
      });
    await sendRecord(response, 200, await reader.read(id, tenant), load);
  });
  return router;
}

function requireQueued({ id, status, queue }: Prediction): void {
  if (status !== 'queued') {
    throw new Problem('not_queued', `${id} is ${status}: only what waits can be given other terms`);
  }
  if (queue.reason === 'scheduled' || queue.reason === 'fetching_input') {
    const detail = `${id} is not in its model's queue yet (${queue.reason}): try again when it is, or cancel it and submit it anew`;
    throw new Problem('not_queued', detail);
  }
}
