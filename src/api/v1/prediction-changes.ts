/* Other terms for a prediction that waits in its model's queue. */
import { Router } from 'express';
import type { Prediction } from '../../contract/prediction.ts';
import { NotChangeableError } from '../../temporal/prediction-engine.ts';
import { tenantOf } from '../http/access.ts';
import type { AnswerDependencies } from '../http/answer-accepted.ts';
import type { Bodies } from '../http/bodies.ts';
import { Problem } from '../http/problems.ts';
import { parsePredictionId, requireJson } from '../http/requests.ts';
import { parseBody } from '../../submission/parse.ts';
import { predictionChangesSchema } from '../../submission/request-schema.ts';
import { sendRecord } from '../http/send-record.ts';
import { changedTerms } from '../../submission/times.ts';

export function predictionChangesRouter(
  dependencies: Pick<AnswerDependencies, 'reader' | 'predictions' | 'whyQueued'> & {
    readonly bodies: Bodies;
  },
): Router {
  const { reader, predictions, whyQueued, bodies } = dependencies;
  const router = Router();

  router.patch('/predictions/:id', bodies.json, async (request, response) => {
    requireJson(request);
    const changes = parseBody(predictionChangesSchema, request.body);
    const id = parsePredictionId(request.params.id);
    const tenant = tenantOf(response);
    const before = await reader.read(id, tenant, null);
    requireQueued(before);
    const terms = changedTerms(before, changes, Date.now());
    await predictions.changeTerms(id, terms).catch((error: unknown) => {
      if (error instanceof NotChangeableError) throw new Problem('not_changeable', error.message);
      throw error;
    });
    await sendRecord(response, 200, await reader.read(id, tenant, null), whyQueued);
  });
  return router;
}

/**
 * Refuses what the workflow cannot know. It has the last word, but it cannot see that an attempt runs, and
 * it does not exist before `start_after`.
 */
function requireQueued({ id, status, queue }: Prediction): void {
  if (status !== 'queued') {
    const detail = `${id} is ${status}: only a prediction that waits can be given other terms`;
    throw new Problem('not_changeable', detail);
  }
  if (queue.reason === 'scheduled') {
    const detail = `${id} waits for its start_after: cancel it, and submit it anew`;
    throw new Problem('not_changeable', detail);
  }
}
