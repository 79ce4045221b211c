/* /v1/predictions/{id}/webhook: who was told of a prediction's end, how often, and telling again. */
import { Router } from 'express';
import { tenantOf } from '../http/access.ts';
import type { Bodies } from '../http/bodies.ts';
import { type Deliveries, deliveryResource } from '../../records/deliveries.ts';
import { listOf } from './lists.ts';
import { Problem } from '../http/problems.ts';
import type { RedeliveryRates } from '../http/rate.ts';
import { optionalJson, parsePredictionId } from '../http/requests.ts';
import { redeliverSchema } from './schemas.ts';
import { parseBody } from '../../submission/parse.ts';

export function webhookDeliveriesRouter(dependencies: {
  readonly deliveries: Deliveries;
  readonly bodies: Bodies;
  readonly redeliveryRates: RedeliveryRates;
}): Router {
  const { deliveries, redeliveryRates } = dependencies;
  const router = Router();
  const json = dependencies.bodies.json;

  router.get('/predictions/:id/webhook', async (request, response) => {
    const found =
      (await deliveries.of(parsePredictionId(request.params.id), tenantOf(response))) ?? [];
    const data = found.map((each) => deliveryResource(each.request.id, each.state));
    response.json(listOf(data));
  });

  router.post('/predictions/:id/webhook/redeliver', json, async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const { endpoint } = parseBody(redeliverSchema, optionalJson(request));
    const wanted = await deliveries.of(id, tenantOf(response), endpoint);
    if (wanted === null) {
      throw new Problem('still_running', `${id} has not ended: there is nothing to tell yet`);
    }
    if (wanted.length === 0) {
      const whom = endpoint === undefined ? 'nobody' : `not ${endpoint}`;
      throw new Problem('not_found', `${id} was for ${whom} to be told of`);
    }
    redeliveryRates.one.take(tenantOf(response));
    const data = await Promise.all(wanted.map(async (each) => await deliveries.redeliver(each)));
    response.status(202).json(listOf(data));
  });
  return router;
}
