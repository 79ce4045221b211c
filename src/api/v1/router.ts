/* /v1: Buzzer's own API, one router for each kind of thing. */
import { Router } from 'express';
import { batchEventsRouter } from './batch-events.ts';
import { batchLifecycleRouter } from './batch-lifecycle.ts';
import { batchListRouter } from './batch-list.ts';
import { batchSubmissionsRouter } from './batch-submissions.ts';
import { batchesRouter } from './batches.ts';
import { endpointDeliveriesRouter } from './endpoint-deliveries.ts';
import { eventsRouter } from './events.ts';
import { filesRouter } from './files.ts';
import { modelsRouter } from './models.ts';
import { predictionChangesRouter } from './prediction-changes.ts';
import { predictionLifecycleRouter } from './prediction-lifecycle.ts';
import { predictionListRouter } from './prediction-list.ts';
import { outputImagesRouter, outputsRouter } from './outputs.ts';
import { payloadsRouter } from './payloads.ts';
import { predictionsRouter } from './predictions.ts';
import { submissionsRouter } from './submissions.ts';
import { webhookDeliveriesRouter } from './webhook-deliveries.ts';
import { webhookEndpointsRouter } from './webhook-endpoints.ts';
import { webhookSecretRouter } from './webhook-secret.ts';

type V1Dependencies = Parameters<typeof endpointDeliveriesRouter>[0] &
  Parameters<typeof batchEventsRouter>[0] &
  Parameters<typeof batchLifecycleRouter>[0] &
  Parameters<typeof batchListRouter>[0] &
  Parameters<typeof batchSubmissionsRouter>[0] &
  Parameters<typeof batchesRouter>[0] &
  Parameters<typeof eventsRouter>[0] &
  Parameters<typeof filesRouter>[0] &
  Parameters<typeof modelsRouter>[0] &
  Parameters<typeof predictionChangesRouter>[0] &
  Parameters<typeof predictionLifecycleRouter>[0] &
  Parameters<typeof predictionListRouter>[0] &
  Parameters<typeof payloadsRouter>[0] &
  Parameters<typeof predictionsRouter>[0] &
  Parameters<typeof submissionsRouter>[0] &
  Parameters<typeof webhookDeliveriesRouter>[0] &
  Parameters<typeof webhookEndpointsRouter>[0] &
  Parameters<typeof webhookSecretRouter>[0];

export function v1Router(dependencies: V1Dependencies & { readonly publicUrl: string }): Router {
  const router = Router();
  for (const routerOf of ROUTERS) router.use(routerOf(dependencies));
  router.get('/', (_request, response) => {
    response.json(indexOf(dependencies.publicUrl));
  });
  return router;
}

/** Each request is offered to them in this order: the busiest come first. */
const ROUTERS: readonly ((dependencies: V1Dependencies) => Router)[] = [
  predictionsRouter,
  submissionsRouter,
  outputsRouter,
  outputImagesRouter,
  payloadsRouter,
  eventsRouter,
  predictionLifecycleRouter,
  predictionChangesRouter,
  predictionListRouter,
  batchesRouter,
  batchSubmissionsRouter,
  batchLifecycleRouter,
  batchListRouter,
  batchEventsRouter,
  filesRouter,
  webhookDeliveriesRouter,
  webhookEndpointsRouter,
  endpointDeliveriesRouter,
  webhookSecretRouter,
  modelsRouter,
];

/** The URLs of everything that can be asked. */
export const indexOf = (publicUrl: string) => ({
  name: 'buzzer',
  urls: {
    predictions: `${publicUrl}/v1/predictions`,
    batches: `${publicUrl}/v1/batches`,
    files: `${publicUrl}/v1/files`,
    models: `${publicUrl}/v1/models`,
    webhook_endpoints: `${publicUrl}/v1/webhook_endpoints`,
    webhook_secret: `${publicUrl}/v1/webhook_secret`,
    openapi: `${publicUrl}/openapi.json`,
    docs: `${publicUrl}/docs`,
    health: `${publicUrl}/healthz`,
    readiness: `${publicUrl}/readyz`,
  },
});
