/* /v1/webhook_secret: what a tenant's webhooks are signed with. */
import { type Response, Router } from 'express';
import type { SigningSecret, SigningSecrets } from '../webhooks/secrets.ts';
import { TENANT } from './tenant.ts';

export function webhookSecretRouter({ secrets }: { readonly secrets: SigningSecrets }): Router {
  const router = Router();
  router.get('/webhook_secret', async (_request, response) => {
    send(response, await secrets.valid(TENANT));
  });
  router.post('/webhook_secret/rotate', async (_request, response) => {
    send(response, await secrets.rotate(TENANT));
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
