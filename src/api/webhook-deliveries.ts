/* /v1/predictions/{id}/webhook: who was told of a prediction's end, how often, and telling again. */
import express, { Router } from 'express';
import { JSON_MEDIA_TYPE } from '../contract/payload.ts';
import { type Deliveries, deliveryResource } from './deliveries.ts';
import { listOf } from './lists.ts';
import { Problem } from './problems.ts';
import { optionalJson, parsePredictionId } from './requests.ts';
import { parseBody, redeliverSchema } from './schemas.ts';

export function webhookDeliveriesRouter(dependencies: {
  readonly deliveries: Deliveries;
  readonly maxJsonBytes: number;
}): Router {
  const { deliveries } = dependencies;
  const router = Router();
  const json = express.json({ limit: dependencies.maxJsonBytes, type: JSON_MEDIA_TYPE });

  router.get('/predictions/:id/webhook', async (request, response) => {
    const found = (await deliveries.of(parsePredictionId(request.params.id))) ?? [];
    const data = found.map((each) => deliveryResource(each.request.id, each.state));
    response.json(listOf(data));
  });

  router.post('/predictions/:id/webhook/redeliver', json, async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const { endpoint } = parseBody(redeliverSchema, optionalJson(request));
    const all = await deliveries.of(id);
    if (all === null) {
      throw new Problem('still_running', `${id} has not ended: there is nothing to tell yet`);
    }
    const wanted = all.filter(
      ({ request: { receiver } }) =>
        endpoint === undefined || ('endpoint' in receiver && receiver.endpoint === endpoint),
    );
    if (wanted.length === 0) {
      const whom = endpoint === undefined ? 'nobody' : `not ${endpoint}`;
      throw new Problem('not_found', `${id} was for ${whom} to be told of`);
    }
    const data = await Promise.all(wanted.map(async (each) => await deliveries.redeliver(each)));
    response.status(202).json(listOf(data));
  });
  return router;
}
