/* What can be done with a batch that has ended: asking for its rest again, and forgetting it. */
import { Router } from 'express';
import { formatModelRef, modelRefOf } from '../../contract/model.ts';
import { forget } from '../../retention/forget.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import type { Acceptance } from '../../submission/acceptance.ts';
import type { BatchAcceptance } from '../../submission/batch-acceptance.ts';
import type { Engine } from '../../temporal/engine.ts';
import { tenantOf } from '../http/access.ts';
import { idempotencyKey } from '../http/idempotency-key.ts';
import { parseBatchId } from '../http/requests.ts';
import { traceparentOf } from '../http/traceparent.ts';
import { type BatchAnswering, sendStarted } from './batch-answers.ts';
import { endedOnly } from './ended-only.ts';

export function batchLifecycleRouter(
  dependencies: BatchAnswering & {
    readonly acceptance: Acceptance;
    readonly batchAcceptance: BatchAcceptance;
    readonly store: PayloadStore;
    readonly engine: Engine;
  },
): Router {
  const { acceptance, batchAcceptance, batchReader, store, engine } = dependencies;
  const router = Router();

  router.post('/batches/:id/retry', async (request, response) => {
    const id = parseBatchId(request.params.id);
    const before = endedOnly(await batchReader.find(id, tenantOf(response)), 'retry');
    const head = { idempotencyKey: idempotencyKey(request), traceparent: traceparentOf(request) };
    const version = acceptance.resolve(formatModelRef(modelRefOf(before.accepted)));
    const started = await batchAcceptance.retry(before, { ...head, version });
    await sendStarted(response, started, dependencies);
  });

  router.delete('/batches/:id', async (request, response) => {
    const id = parseBatchId(request.params.id);
    const remains = await batchReader.findRemains(id, tenantOf(response));
    const { accepted, ended } = endedOnly(remains, 'delete');
    await forget({ type: 'batch', accepted, ended }, 'deleted', { store, engine });
    response.status(204).end();
  });
  return router;
}
