/* /v1/batches/{id}: its record, its output, what has happened, and its end before its time. */
import { Router } from 'express';
import { type EndedBatch, isFinalBatch } from '../../contract/batch.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import type { BatchEngine } from '../../temporal/batch-engine.ts';
import { tenantOf } from '../http/access.ts';
import { Problem } from '../http/problems.ts';
import { parseBatchId } from '../http/requests.ts';
import { sendStored } from '../http/send-stored.ts';
import type { WaitLimit } from '../http/wait-limit.ts';
import { type BatchAnswering, sendBatch } from './batch-answers.ts';
import { listOf } from './lists.ts';
import { waitSecondsOf } from './waiting.ts';

export interface BatchesDependencies extends BatchAnswering {
  readonly batches: BatchEngine;
  readonly store: PayloadStore;
  readonly waitLimit: WaitLimit;
}

export function batchesRouter(dependencies: BatchesDependencies): Router {
  const { batchReader, batches, store, waitLimit } = dependencies;
  const router = Router();

  router.get('/batches/:id', async (request, response) => {
    const id = parseBatchId(request.params.id);
    const tenant = tenantOf(response);
    const seconds = waitSecondsOf(request, response);
    let batch = await batchReader.read(id, tenant);
    if (seconds !== null && !isFinalBatch(batch)) {
      await waitLimit.bounded(
        response,
        seconds,
        async (signal) => await batches.waitForEnd(id, signal),
      );
      batch = await batchReader.read(id, tenant);
    }
    sendBatch(response, 200, batch);
  });

  router.get('/batches/:id/output', async (request, response) => {
    const id = parseBatchId(request.params.id);
    const tenant = tenantOf(response);
    const { batch, ended } = await batchReader.readWhole(id, tenant);
    if (ended === null) sendBatch(response, 202, batch);
    else if (ended.output === null) throw withoutOutput(id, ended);
    else await sendStored(request, response, { kind: 'claim', claim: ended.output }, store);
  });

  router.get('/batches/:id/history', async (request, response) => {
    const id = parseBatchId(request.params.id);
    response.json(listOf(await batchReader.history(id, tenantOf(response))));
  });

  router.post('/batches/:id/cancel', async (request, response) => {
    const id = parseBatchId(request.params.id);
    const tenant = tenantOf(response);
    const { ended } = await batchReader.find(id, tenant);
    if (ended === null) await batches.cancel(id);
    sendBatch(response, ended === null ? 202 : 200, await batchReader.read(id, tenant));
  });
  return router;
}

function withoutOutput(id: string, ended: EndedBatch): Problem {
  const hasError = ended.status === 'failed' || ended.status === 'aborted';
  const why = hasError
    ? `: ${ended.error.code}, ${ended.error.message}`
    : ' before any item was done';
  return new Problem('not_ready', `${id} ended ${ended.status}${why}`);
}
