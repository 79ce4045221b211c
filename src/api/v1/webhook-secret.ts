/* /v1/webhook_secret: what a tenant's webhooks are signed with. */
import { type Response, Router } from 'express';
import type { SigningSecret, SigningSecrets } from '../../webhooks/secrets.ts';
import { tenantOf } from '../http/access.ts';
import type { Bodies } from '../http/bodies.ts';
import { optionalJson } from '../http/requests.ts';
import { rotateSchema } from './schemas.ts';
import { parseBody } from '../../submission/parse.ts';

export function webhookSecretRouter(dependencies: {
  readonly secrets: SigningSecrets;
  readonly bodies: Bodies;
}): Router {
  const { secrets, bodies } = dependencies;
  const router = Router();
  const json = bodies.json;
  router.get('/webhook_secret', async (_request, response) => {
    send(response, await secrets.valid(tenantOf(response)));
  });
  router.post('/webhook_secret/rotate', json, async (request, response) => {
    const { overlap } = parseBody(rotateSchema, optionalJson(request));
    send(response, await secrets.rotate(tenantOf(response), overlap));
  });
  return router;
}

function send(
  response: Response,
  [{ secret, created_at }, ...before]: readonly [SigningSecret, ...SigningSecret[]],
): void {
  response.setHeader('Cache-Control', 'no-store');
  response.json({
    object: 'webhook_secret',
    secret,
    created_at,
    previous: before.map((each) => ({ secret: each.secret, expires_at: each.expires_at })),
  });
}
