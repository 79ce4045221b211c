/* What can be done with a prediction that has ended: asking for it again, and forgetting it. */
import { Router } from 'express';
import { forget } from '../../retention/forget.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import type { Engine } from '../../temporal/engine.ts';
import { tenantOf } from '../http/access.ts';
import { idempotencyKey } from '../http/idempotency-key.ts';
import { type AnswerDependencies, answerAccepted, submit } from '../http/answer-accepted.ts';
import type { Acceptance } from '../../submission/acceptance.ts';
import { parsePredictionId } from '../http/requests.ts';
import { traceparentOf } from '../http/traceparent.ts';
import { endedOnly } from './ended-only.ts';
import { waitSecondsOf } from './waiting.ts';

export function predictionLifecycleRouter(
  dependencies: AnswerDependencies & {
    readonly acceptance: Acceptance;
    readonly store: PayloadStore;
    readonly engine: Engine;
  },
): Router {
  const { acceptance, reader, engine, store } = dependencies;
  const router = Router();

  router.post('/predictions/:id/retry', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const waitS = waitSecondsOf(request, response);
    const before = endedOnly(await reader.find(id, tenantOf(response)), 'retry');
    const head = { idempotencyKey: idempotencyKey(request), traceparent: traceparentOf(request) };
    const order = await submit(response, dependencies, async () => {
      return await acceptance.retry(before, head);
    });
    await answerAccepted(response, order, waitS, dependencies);
  });

  router.delete('/predictions/:id', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const { accepted, ended } = endedOnly(
      await reader.findRemains(id, tenantOf(response)),
      'delete',
    );
    await forget({ type: 'prediction', accepted, ended }, 'deleted', { store, engine });
    response.status(204).end();
  });
  return router;
}
