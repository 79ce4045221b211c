import { Router } from 'express';
import type { Stored } from '../../contract/payload.ts';
import type { Ended } from '../../contract/prediction.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import { tenantOf } from '../http/access.ts';
import { listOf } from './lists.ts';
import type { WhyQueued } from '../../records/why-queued.ts';
import type { PredictionReader } from '../../records/prediction-reader.ts';
import { Problem } from '../http/problems.ts';
import { parsePredictionId } from '../http/requests.ts';
import { sendRecord } from '../http/send-record.ts';
import { sendStored } from '../http/send-stored.ts';

/** What a prediction was given and what it gave, as they are, and what happened in between. */
export function payloadsRouter(dependencies: {
  readonly reader: PredictionReader;
  readonly store: PayloadStore;
  readonly whyQueued: WhyQueued;
}): Router {
  const { reader, store, whyQueued } = dependencies;
  const router = Router();
  router.get('/predictions/:id/output', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const tenant = tenantOf(response);
    const { ended } = await reader.find(id, tenant);
    if (ended === null) {
      await sendRecord(response, 202, await reader.read(id, tenant, null), whyQueued);
    } else if (ended.status === 'succeeded') {
      await sendStored(request, response, ended.output, store);
    } else {
      const why =
        ended.status !== 'canceled' ? `: ${ended.error.code}, ${ended.error.message}` : '';
      throw new Problem('not_ready', `${id} ended ${ended.status}${why}`);
    }
  });

  router.get('/predictions/:id/input/:field', async (request, response) => {
    const { accepted, ended } = await reader.find(
      parsePredictionId(request.params.id),
      tenantOf(response),
    );
    const { field } = request.params;
    const input = Object.hasOwn(accepted.input, field) ? accepted.input[field] : undefined;
    if (input === undefined) {
      throw new Problem('not_found', `${accepted.id} has no input ${field}`);
    }
    const stored = input.kind === 'url' ? fetchedInput(field, ended) : input;
    await sendStored(request, response, stored, store);
  });

  router.get('/predictions/:id/history', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    response.json(listOf(await reader.history(id, tenantOf(response))));
  });
  return router;
}

/** What was fetched from an input's URL is known when the prediction has ended. */
function fetchedInput(field: string, ended: Ended | null): Stored {
  const claim = ended?.fetched?.[field];
  if (claim !== undefined) return { kind: 'claim', claim };
  throw new Problem(
    'not_found',
    ended === null
      ? `${field} is fetched from its URL: it can be read here when the prediction has ended`
      : `${field} was never fetched from its URL`,
  );
}
