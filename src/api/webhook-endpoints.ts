/* /v1/webhook_endpoints: receivers that are told of every matching event, and what they were told. */
import express, { type Request, Router } from 'express';
import { JSON_MEDIA_TYPE } from '../contract/payload.ts';
import { type DeliveryRequest, newDelivery } from '../contract/webhook.ts';
import type { AddressPolicy } from '../outbound/address-policy.ts';
import type { DeliveryEngine } from '../temporal/delivery-engine.ts';
import type { WebhookEndpoint, WebhookEndpoints } from '../webhooks/endpoints.ts';
import { requireAllowedUrl } from './allowed-url.ts';
import { readCursor, writeCursor } from './cursor.ts';
import { type Deliveries, deliveryResource } from './deliveries.ts';
import { newId } from './new-id.ts';
import { Problem } from './problems.ts';
import { requireJson } from './requests.ts';
import {
  endpointChangesSchema,
  endpointSchema,
  pageQuerySchema,
  parseBody,
  parseQuery,
  redeliverSinceSchema,
} from './schemas.ts';
import { boundedWait } from './waiting.ts';

const TENANT = 'default';
/** One attempt takes at most 15 s, and may have to wait for a turn. */
const TEST_WAIT_S = 20;
/** So many are told again in one call; `has_more` says to call again. */
const MAX_REDELIVERIES = 200;
const PAGE_SIZE = 100;

export interface WebhookEndpointsDependencies {
  readonly endpoints: WebhookEndpoints;
  readonly deliveryEngine: DeliveryEngine;
  readonly deliveries: Deliveries;
  readonly addressPolicy: AddressPolicy;
  readonly publicUrl: string;
  readonly maxJsonBytes: number;
}

export function webhookEndpointsRouter(dependencies: WebhookEndpointsDependencies): Router {
  const { endpoints, addressPolicy, publicUrl, maxJsonBytes } = dependencies;
  const router = Router();
  const json = express.json({ limit: maxJsonBytes, type: JSON_MEDIA_TYPE });

  router.post('/webhook_endpoints', json, async (request, response) => {
    requireJson(request);
    const settings = parseBody(endpointSchema, request.body);
    requireAllowedUrl(settings.url, addressPolicy, '/url');
    const endpoint = await endpoints.register(TENANT, newId('whe'), settings);
    const resource = endpointResource(endpoint, publicUrl);
    response.status(201).set('Location', resource.urls.get).json(resource);
  });
  router.get('/webhook_endpoints', async (_request, response) => {
    const data = (await endpoints.list(TENANT)).map((each) => endpointResource(each, publicUrl));
    response.json({ object: 'list', data, has_more: false, next_cursor: null });
  });
  router.get('/webhook_endpoints/:id', async (request, response) => {
    const endpoint = await endpoints.get(TENANT, parseEndpointId(request));
    response.json(endpointResource(endpoint, publicUrl));
  });
  router.patch('/webhook_endpoints/:id', json, async (request, response) => {
    requireJson(request);
    const changes = parseBody(endpointChangesSchema, request.body);
    if (changes.url !== undefined) requireAllowedUrl(changes.url, addressPolicy, '/url');
    const endpoint = await endpoints.change(TENANT, parseEndpointId(request), changes);
    response.json(endpointResource(endpoint, publicUrl));
  });
  router.delete('/webhook_endpoints/:id', async (request, response) => {
    await endpoints.remove(TENANT, parseEndpointId(request));
    response.status(204).end();
  });
  router.use(endpointDeliveriesRouter(dependencies));
  return router;
}

/** What an endpoint was told, and telling it again. */
function endpointDeliveriesRouter(dependencies: WebhookEndpointsDependencies): Router {
  const { endpoints, deliveryEngine, maxJsonBytes } = dependencies;
  const router = Router();
  const json = express.json({ limit: maxJsonBytes, type: JSON_MEDIA_TYPE });

  router.get('/webhook_endpoints/:id/deliveries', async (request, response) => {
    const { id } = await endpoints.get(TENANT, parseEndpointId(request));
    const { cursor, limit } = parseQuery(pageQuerySchema, request.query);
    const token = cursor === undefined ? null : readCursor(cursor);
    const query = { tenant: TENANT, endpoint: id, failedSince: null };
    const page = await deliveryEngine.list(query, { pageSize: limit, token });
    const found = [...new Set(page.ids)].map(async (each) => {
      const state = await deliveryEngine.find(each);
      return state === null ? [] : [deliveryResource(each, state)];
    });
    const next = page.nextPageToken;
    response.json({
      object: 'list',
      data: (await Promise.all(found)).flat(),
      has_more: next !== null,
      next_cursor: next === null ? null : writeCursor(next),
    });
  });

  router.post('/webhook_endpoints/:id/test', async (request, response) => {
    const { id } = await endpoints.get(TENANT, parseEndpointId(request));
    const ping = pingOf(id);
    await deliveryEngine.startOrHurry(ping);
    await boundedWait(response, TEST_WAIT_S, async (signal) => {
      await deliveryEngine.waitForEnd(ping.id, signal);
    });
    const state = (await deliveryEngine.find(ping.id)) ?? newDelivery(ping, ping.event.timestamp);
    response.status(state.status === 'pending' ? 202 : 200);
    response.json(deliveryResource(ping.id, state));
  });

  router.post('/webhook_endpoints/:id/redeliver', json, async (request, response) => {
    requireJson(request);
    const { id, enabled } = await endpoints.get(TENANT, parseEndpointId(request));
    const { since } = parseBody(redeliverSinceSchema, request.body);
    if (!enabled) throw new Problem('invalid_input', `${id} is disabled: enable it first`);
    response.status(202).json(await redeliverFailed(id, new Date(since), dependencies));
  });
  return router;
}

/** A delivery of its own, with one attempt. */
function pingOf(endpoint: string): DeliveryRequest {
  const eventId = newId('evt');
  const timestamp = new Date().toISOString();
  return {
    id: `${endpoint}.ping.${eventId}`,
    tenant: TENANT,
    event: { id: eventId, type: 'ping', timestamp, prediction: null },
    receiver: { endpoint },
    schedule_ms: [0],
    earlier: [],
  };
}

/** What has failed, or found the endpoint gone, and was not told since. */
async function redeliverFailed(
  endpoint: string,
  failedSince: Date,
  { deliveryEngine, deliveries }: WebhookEndpointsDependencies,
) {
  const query = { tenant: TENANT, endpoint, failedSince };
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
    const [predictionId = ''] = id.split('.');
    const state = await deliveryEngine.find(id);
    if (state === null || state.prediction === null) return false; // a ping
    if (state.status !== 'failed' && state.status !== 'gone') return false;
    const all = await deliveries.of(predictionId).catch(() => null);
    const delivery = all?.find(({ request }) => request.id === id);
    if (delivery === undefined) return false; // its prediction is no longer kept
    await deliveries.redeliver(delivery);
    return true;
  }
}

function parseEndpointId(request: Request): string {
  const { id } = request.params as { id: string };
  if (/^whe_[0-9a-hjkmnp-tv-z]{26}$/.test(id)) return id;
  throw new Problem('malformed_request', `${id} is not an endpoint id (whe_ and 26 characters)`);
}

function endpointResource(endpoint: WebhookEndpoint, publicUrl: string) {
  const url = `${publicUrl}/v1/webhook_endpoints/${endpoint.id}`;
  return {
    object: 'webhook_endpoint',
    ...endpoint,
    urls: { get: url, deliveries: `${url}/deliveries`, test: `${url}/test` },
  };
}
