/* /v1/predictions/{id}: its record, and its end before its time. */
import { Router } from 'express';
import { isFinal } from '../../contract/prediction.ts';
import { roomFor } from '../http/answers.ts';
import { tenantOf } from '../http/access.ts';
import type { AnswerDependencies } from '../http/answer-accepted.ts';
import { parsePredictionId } from '../http/requests.ts';
import { waitSecondsOf } from './waiting.ts';
import { sendRecord } from '../http/send-record.ts';
import { withoutOutput } from '../../records/shown-record.ts';

export function predictionsRouter(dependencies: AnswerDependencies): Router {
  const { reader, predictions, waitLimit, whyQueued } = dependencies;
  const router = Router();
  router.get('/predictions/:id', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const tenant = tenantOf(response);
    const seconds = waitSecondsOf(request, response);
    let record = await reader.read(id, tenant, roomFor(response));
    if (seconds !== null && !isFinal(record)) {
      await waitLimit.bounded(
        response,
        seconds,
        async (signal) => await predictions.waitForEnd(id, signal),
      );
      record = await reader.read(id, tenant, roomFor(response));
    }
    await sendRecord(response, 200, record, whyQueued);
  });

  router.post('/predictions/:id/cancel', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const tenant = tenantOf(response);
    const { ended } = await reader.find(id, tenant);
    if (ended === null) await predictions.cancel(id);
    const record = withoutOutput(await reader.read(id, tenant, null));
    await sendRecord(response, ended === null ? 202 : 200, record, whyQueued);
  });
  return router;
}
