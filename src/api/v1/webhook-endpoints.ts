/* /v1/webhook_endpoints: receivers that are told of every matching event of their tenant. */
import { Router } from 'express';
import type { AddressPolicy } from '../../outbound/address-policy.ts';
import type { WebhookEndpoint, WebhookEndpoints } from '../../webhooks/endpoints.ts';
import { tenantOf } from '../http/access.ts';
import type { Bodies } from '../http/bodies.ts';
import { requireAllowedUrl } from '../../submission/allowed-url.ts';
import { listOf } from './lists.ts';
import { newId } from '../../submission/new-id.ts';
import { parseEndpointId, requireJson } from '../http/requests.ts';
import { endpointChangesSchema, endpointSchema } from './schemas.ts';
import { parseBody } from '../../submission/parse.ts';

export interface WebhookEndpointsDependencies {
  readonly endpoints: WebhookEndpoints;
  readonly addressPolicy: AddressPolicy;
  readonly publicUrl: string;
  readonly bodies: Bodies;
}

export function webhookEndpointsRouter(dependencies: WebhookEndpointsDependencies): Router {
  const { endpoints, addressPolicy, publicUrl, bodies } = dependencies;
  const router = Router();
  const json = bodies.json;

  router.post('/webhook_endpoints', json, async (request, response) => {
    requireJson(request);
    const settings = parseBody(endpointSchema, request.body);
    const { href: url } = requireAllowedUrl(settings.url, addressPolicy, '/url');
    const endpoint = await endpoints.register(tenantOf(response), newId('whe'), {
      ...settings,
      url,
    });
    const resource = endpointResource(endpoint, publicUrl);
    response.status(201).set('Location', resource.urls.get).json(resource);
  });
  router.get('/webhook_endpoints', async (_request, response) => {
    // There are sixteen at most: one page.
    const data = (await endpoints.list(tenantOf(response))).map((each) =>
      endpointResource(each, publicUrl),
    );
    response.json(listOf(data));
  });
  router.get('/webhook_endpoints/:id', async (request, response) => {
    const endpoint = await endpoints.get(tenantOf(response), parseEndpointId(request.params.id));
    response.json(endpointResource(endpoint, publicUrl));
  });
  router.patch('/webhook_endpoints/:id', json, async (request, response) => {
    requireJson(request);
    const changes = parseBody(endpointChangesSchema, request.body);
    const id = parseEndpointId(request.params.id);
    const url =
      changes.url === undefined
        ? {}
        : { url: requireAllowedUrl(changes.url, addressPolicy, '/url').href };
    const endpoint = await endpoints.change(tenantOf(response), id, { ...changes, ...url });
    response.json(endpointResource(endpoint, publicUrl));
  });
  router.delete('/webhook_endpoints/:id', async (request, response) => {
    await endpoints.remove(tenantOf(response), parseEndpointId(request.params.id));
    response.status(204).end();
  });
  return router;
}

function endpointResource(endpoint: WebhookEndpoint, publicUrl: string) {
  const url = `${publicUrl}/v1/webhook_endpoints/${endpoint.id}`;
  return {
    object: 'webhook_endpoint',
    ...endpoint,
    urls: { get: url, deliveries: `${url}/deliveries`, test: `${url}/test` },
  };
}
