/* /v1/webhook_endpoints/{id}/…: what an endpoint was told, telling it again, and a test. */
import { Router } from 'express';
import { isBatchId, isPredictionId } from '../../contract/ids.ts';
import { type DeliveryRequest, newDelivery } from '../../contract/webhook.ts';
import type { DeliveryEngine } from '../../temporal/delivery-engine.ts';
import { WorkflowMissingError } from '../../temporal/timely-calls.ts';
import type { WebhookEndpoint, WebhookEndpoints } from '../../webhooks/endpoints.ts';
import { tenantOf } from '../http/access.ts';
import type { Bodies } from '../http/bodies.ts';
import type { Cursors } from '../http/cursor.ts';
import { type Deliveries, deliveryResource } from '../../records/deliveries.ts';
import { findFinished, type Readers } from '../../records/finished.ts';
import { listOf } from './lists.ts';
import type { RedeliveryRates } from '../http/rate.ts';
import { Refusal } from '../../contract/refusal.ts';
import { newId } from '../../submission/new-id.ts';
import { Problem } from '../http/problems.ts';
import { parseEndpointId, requireJson } from '../http/requests.ts';
import { pageQuerySchema, redeliverSinceSchema } from './schemas.ts';
import { parseQuery } from '../http/queries.ts';
import { parseBody } from '../../submission/parse.ts';
import type { WaitLimit } from '../http/wait-limit.ts';

/** One attempt takes at most 15 s, and may have to wait for a turn. */
const TEST_WAIT_S = 20;
/** One call redelivers this many; `has_more` says that there are more. */
const MAX_REDELIVERIES = 200;
const PAGE_SIZE = 100;

export interface EndpointDeliveriesDependencies extends Readers {
  readonly endpoints: WebhookEndpoints;
  readonly deliveryEngine: DeliveryEngine;
  readonly deliveries: Deliveries;
  readonly waitLimit: WaitLimit;
  readonly bodies: Bodies;
  readonly cursors: Cursors;
  /** How often a tenant may redeliver. */
  readonly redeliveryRates: RedeliveryRates;
}

export function endpointDeliveriesRouter(dependencies: EndpointDeliveriesDependencies): Router {
  const { endpoints, deliveryEngine, waitLimit, bodies, cursors } = dependencies;
  const router = Router();
  const json = bodies.json;

  router.get('/webhook_endpoints/:id/deliveries', async (request, response) => {
    const { id } = await endpoints.get(tenantOf(response), parseEndpointId(request.params.id));
    const { cursor, limit } = parseQuery(pageQuerySchema, request.query);
    const list = ['deliveries', tenantOf(response), id];
    const token = cursor === undefined ? null : cursors.read(list, cursor);
    const query = { tenant: tenantOf(response), endpoint: id, failedSince: null };
    const page = await cursors.page(token, async (from) => {
      return await deliveryEngine.list(query, { pageSize: limit, token: from });
    });
    const found = [...new Set(page.ids)].map(async (each) => {
      const state = await deliveryEngine.find(each);
      return state === null ? [] : [deliveryResource(each, state)];
    });
    const next = page.nextPageToken;
    const data = (await Promise.all(found)).flat();
    response.json(listOf(data, next === null ? null : cursors.write(list, next)));
  });

  router.post('/webhook_endpoints/:id/test', async (request, response) => {
    const tenant = tenantOf(response);
    const endpoint = await endpoints.get(tenant, parseEndpointId(request.params.id));
    dependencies.redeliveryRates.one.take(tenantOf(response));
    const ping = pingOf(endpoint, tenant);
    await deliveryEngine.start(ping, 'USE_EXISTING');
    await waitLimit.bounded(response, TEST_WAIT_S, async (signal) => {
      await deliveryEngine.waitForEnd(ping.id, signal);
    });
    const state = (await deliveryEngine.find(ping.id)) ?? newDelivery(ping, ping.event.timestamp);
    response.status(state.status === 'pending' ? 202 : 200);
    response.json(deliveryResource(ping.id, state));
  });

  router.post('/webhook_endpoints/:id/redeliver', json, async (request, response) => {
    requireJson(request);
    const { id, enabled } = await endpoints.get(
      tenantOf(response),
      parseEndpointId(request.params.id),
    );
    const { since } = parseBody(redeliverSinceSchema, request.body);
    if (!enabled) throw new Problem('invalid_input', `${id} is disabled: enable it first`);
    dependencies.redeliveryRates.all.take(tenantOf(response));
    response
      .status(202)
      .json(
        await redeliverFailed(
          { tenant: tenantOf(response), endpoint: id, failedSince: new Date(since) },
          dependencies,
        ),
      );
  });
  return router;
}

/** A ping is a delivery of its own, with one attempt. */
function pingOf({ id, url }: WebhookEndpoint, tenant: string): DeliveryRequest {
  const eventId = newId('evt');
  const timestamp = new Date().toISOString();
  return {
    id: `${id}.ping.${eventId}`,
    tenant,
    event: { id: eventId, type: 'ping', timestamp, subject: { type: 'ping' } },
    receiver: { type: 'endpoint', id, host: new URL(url).host },
    schedule_ms: [0],
    earlier: [],
  };
}

/** Redelivers what has failed or found the endpoint gone, and was not delivered since. */
async function redeliverFailed(
  query: { readonly tenant: string; readonly endpoint: string; readonly failedSince: Date },
  { deliveryEngine, deliveries, ...readers }: EndpointDeliveriesDependencies,
) {
  const redelivered = new Set<string>();
  let token: Uint8Array | null = null;
  do {
    const page = await deliveryEngine.list(query, { pageSize: PAGE_SIZE, token });
    token = page.nextPageToken;
    for (const id of page.ids) {
      if (redelivered.size >= MAX_REDELIVERIES) break;
      if (!redelivered.has(id) && (await redeliverOne(id))) redelivered.add(id);
    }
  } while (token !== null && redelivered.size < MAX_REDELIVERIES);
  const hasMore = redelivered.size >= MAX_REDELIVERIES;
  return { object: 'redelivery', redelivered: redelivered.size, has_more: hasMore };

  async function redeliverOne(id: string): Promise<boolean> {
    const [ofId = ''] = id.split('.');
    if (!isPredictionId(ofId) && !isBatchId(ofId)) return false; // a ping
    const finished = await findFinished(ofId, query.tenant, readers).catch(noLongerKept);
    if (finished === null) return false;
    const [delivery] = await deliveries.of(finished, query.endpoint);
    if (delivery === undefined || !delivery.isStarted) return false;
    const { status } = delivery.state; // of its latest run, which the list may not know yet
    if (status !== 'failed' && status !== 'gone') return false;
    await deliveries.redeliver(delivery);
    return true;
  }
}

function noLongerKept(error: unknown): null {
  if (error instanceof WorkflowMissingError) return null;
  const isGone = (code: string) => code === 'expired' || code === 'data_removed';
  if (error instanceof Refusal && isGone(error.code)) return null;
  throw error;
}
