import { Router } from 'express';
import type { Stored } from '../../contract/payload.ts';
import type { Ended } from '../../contract/prediction.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import { tenantOf } from '../http/access.ts';
import { listOf } from './lists.ts';
import type { PredictionReader } from '../../records/prediction-reader.ts';
import { Problem } from '../http/problems.ts';
import { parsePredictionId } from '../http/requests.ts';
import { sendStored } from '../http/send-stored.ts';

/** What a prediction was given, as it is, and what has happened to it. */
export function payloadsRouter(dependencies: {
  readonly reader: PredictionReader;
  readonly store: PayloadStore;
}): Router {
  const { reader, store } = dependencies;
  const router = Router();
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
