/* …/{id}/webhook of predictions and batches: who was told of the end, how often, and telling again. */
import { Router } from 'express';
import { tenantOf } from '../http/access.ts';
import type { Bodies } from '../http/bodies.ts';
import { type Deliveries, deliveryResource } from '../../records/deliveries.ts';
import { findFinished, type Readers } from '../../records/finished.ts';
import { listOf } from './lists.ts';
import { Problem } from '../http/problems.ts';
import type { RedeliveryRates } from '../http/rate.ts';
import { optionalJson, parseBatchId, parsePredictionId } from '../http/requests.ts';
import { redeliverSchema } from './schemas.ts';
import { parseBody } from '../../submission/parse.ts';

const KINDS = [
  ['/predictions', parsePredictionId],
  ['/batches', parseBatchId],
] as const;

export function webhookDeliveriesRouter(
  dependencies: Readers & {
    readonly deliveries: Deliveries;
    readonly bodies: Bodies;
    readonly redeliveryRates: RedeliveryRates;
  },
): Router {
  const { deliveries, redeliveryRates } = dependencies;
  const router = Router();
  const json = dependencies.bodies.json;

  for (const [path, parseId] of KINDS) {
    router.get(`${path}/:id/webhook`, async (request, response) => {
      const id = parseId(request.params.id);
      const finished = await findFinished(id, tenantOf(response), dependencies);
      const found = finished === null ? [] : await deliveries.of(finished);
      const data = found.map((each) => deliveryResource(each.request.id, each.state));
      response.json(listOf(data));
    });

    router.post(`${path}/:id/webhook/redeliver`, json, async (request, response) => {
      const id = parseId(request.params.id);
      const { endpoint } = parseBody(redeliverSchema, optionalJson(request));
      const finished = await findFinished(id, tenantOf(response), dependencies);
      if (finished === null) {
        throw new Problem('still_running', `${id} has not ended: there is nothing to tell yet`);
      }
      const wanted = await deliveries.of(finished, endpoint);
      if (wanted.length === 0) {
        const whom = endpoint === undefined ? 'nobody' : `not ${endpoint}`;
        throw new Problem('not_found', `${id} was for ${whom} to be told of`);
      }
      redeliveryRates.one.take(tenantOf(response));
      const data = await Promise.all(wanted.map(async (each) => await deliveries.redeliver(each)));
      response.status(202).json(listOf(data));
    });
  }
  return router;
}
