/* What can be done with a prediction that has ended: asking for it again, and forgetting it. */
import { Router } from 'express';
import { forgetPrediction } from '../retention/forget.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import { tenantOf } from './access.ts';
import { idempotencyKey } from './idempotency.ts';
import { answerAccepted, type PredictionsDependencies } from './predictions.ts';
import type { Halves } from '../temporal/halves.ts';
import { Problem } from './problems.ts';
import { parsePredictionId } from './requests.ts';
import { traceparentOf } from './traceparent.ts';
import { preferredWait } from './prefer.ts';
import { parseQuery, waitQuerySchema } from './schemas.ts';

export function predictionLifecycleRouter(
  dependencies: PredictionsDependencies & { readonly store: PayloadStore },
): Router {
  const { acceptance, reader, engine, store } = dependencies;
  const router = Router();

  router.post('/predictions/:id/retry', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const waitS =
      parseQuery(waitQuerySchema, request.query).wait ?? preferredWait(request, response);
    const before = endedOnly(await reader.find(id, tenantOf(response)), 'retry');
    const order = await acceptance.retry(before, {
      idempotencyKey: idempotencyKey(request),
      traceparent: traceparentOf(request),
    });
    await answerAccepted(response, order, waitS, dependencies);
  });

  router.delete('/predictions/:id', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const { accepted, ended } = endedOnly(
      await reader.findRemains(id, tenantOf(response)),
      'delete',
    );
    await forgetPrediction({ accepted, ended }, 'deleted', { store, engine });
    response.status(204).end();
  });
  return router;
}

function endedOnly({ accepted, ended }: Halves, what: string) {
  if (ended !== null) return { accepted, ended };
  const detail = `${accepted.id} has not ended: cancel it first, then ${what} it`;
  throw new Problem('still_running', detail);
}
