/* What can be done with a batch that has ended: asking for its rest again, and forgetting it. */
import { Router } from 'express';
import { batchUrl } from '../../contract/batch.ts';
import { formatModelRef, modelRefOf } from '../../contract/model.ts';
import { forget } from '../../retention/forget.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import type { Acceptance } from '../../submission/acceptance.ts';
import type { BatchAcceptance } from '../../submission/batch-acceptance.ts';
import type { BatchMemo } from '../../temporal/batch-memo.ts';
import type { Engine } from '../../temporal/engine.ts';
import { tenantOf } from '../http/access.ts';
import { announce } from '../http/answer-accepted.ts';
import { idempotencyKey } from '../http/idempotency-key.ts';
import { Problem } from '../http/problems.ts';
import { parseBatchId } from '../http/requests.ts';
import { traceparentOf } from '../http/traceparent.ts';
import { type BatchAnswering, sendBatch } from './batch-answers.ts';

export function batchLifecycleRouter(
  dependencies: BatchAnswering & {
    readonly acceptance: Acceptance;
    readonly batchAcceptance: BatchAcceptance;
    readonly store: PayloadStore;
    readonly engine: Engine;
  },
): Router {
  const { acceptance, batchAcceptance, batchReader, store, engine, publicUrl } = dependencies;
  const router = Router();

  router.post('/batches/:id/retry', async (request, response) => {
    const id = parseBatchId(request.params.id);
    const before = endedOnly(await batchReader.find(id, tenantOf(response)), 'retry');
    const head = { idempotencyKey: idempotencyKey(request), traceparent: traceparentOf(request) };
    const version = acceptance.resolve(formatModelRef(modelRefOf(before.accepted)));
    const started = await batchAcceptance.retry(before, { ...head, version });
    const { accepted, isReplayed } = started;
    announce(response, started, batchUrl(publicUrl, accepted.id));
    const batch = isReplayed
      ? await batchReader.read(accepted.id, accepted.tenant)
      : await batchReader.justAccepted(accepted);
    sendBatch(response, 202, batch);
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

function endedOnly({ accepted, ended }: BatchMemo, what: string) {
  if (ended !== null) return { accepted, ended };
  const detail = `${accepted.id} has not ended: cancel it first, then ${what} it`;
  throw new Problem('still_running', detail);
}
