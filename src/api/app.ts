/* The Express application: routes and the order they are tried in. No listening, no environment. */
import express, { type Express } from 'express';
import type { Accepted } from '../contract/prediction.ts';
import type { ModelRepository } from '../models/repository.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { DeliveryEngine } from '../temporal/delivery-engine.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import type { SigningSecrets } from '../webhooks/secrets.ts';
import { type AccessSettings, requireAccess } from './access.ts';
import { type AcceptanceDependencies, createAcceptance } from './acceptance.ts';
import { Bodies } from './bodies.ts';
import { browserHeaders } from './browser-headers.ts';
import { Cursors, type Signer } from './cursor.ts';
import { createDeliveries } from './deliveries.ts';
import { docsRouter } from './docs.ts';
import { endpointDeliveriesRouter } from './endpoint-deliveries.ts';
import { eventsRouter } from './events.ts';
import { healthRouter } from './health.ts';
import { createLoad } from './load.ts';
import { modelsRouter } from './models.ts';
import { predictionChangesRouter } from './prediction-changes.ts';
import { predictionLifecycleRouter } from './prediction-lifecycle.ts';
import { predictionListRouter } from './prediction-list.ts';
import { PredictionReader } from './prediction-reader.ts';
import { payloadsRouter, predictionsRouter } from './predictions.ts';
import { cutOff, lastHandler, problemHandler } from './problems.ts';
import { QuotaKeeper, type Quotas } from './quotas.ts';
import { createRedeliveryRates } from './rate.ts';
import { requestLog, type WorkflowUrl } from './request-log.ts';
import { Shares } from './shares.ts';
import { cutSlowBodies } from './slow-bodies.ts';
import { v2Router } from './v2.ts';
import { webhookDeliveriesRouter } from './webhook-deliveries.ts';
import { webhookEndpointsRouter } from './webhook-endpoints.ts';
import { webhookSecretRouter } from './webhook-secret.ts';
import { Waits } from './waits.ts';
import { Watches } from './watches.ts';

export interface AppDependencies extends Omit<AcceptanceDependencies, 'quotas'>, AccessSettings {
  readonly engine: PredictionEngine;
  readonly deliveryEngine: DeliveryEngine;
  readonly secrets: SigningSecrets;
  readonly signer: Signer;
  readonly store: PayloadStore;
  readonly repository: ModelRepository;
  readonly logger: Logger;
  readonly workflowUrl: WorkflowUrl;
  readonly publicUrl: string;
  /** Of Buzzer itself. */
  readonly softwareVersion: string;
  readonly maxJsonBytes: number;
  readonly maxBufferedBytes: number;
  readonly maxWaiting: number;
  readonly quotas: Quotas;
  readonly responseInlineLimit: number;
  readonly resultTtlMs: number;
  /** Aborted when the process is to end. */
  readonly stop: AbortSignal;
}

export function createApp(dependencies: AppDependencies): Express {
  const { engine, store, logger, publicUrl } = dependencies;
  const load = createLoad({ store, engine, logger });
  const hasSeveralTenants = dependencies.keys !== null;
  const quotas = new QuotaKeeper(dependencies.quotas, engine, hasSeveralTenants);
  const waits = new Waits(new Shares(dependencies.maxWaiting, hasSeveralTenants));
  const onEnded = (accepted: Accepted) => quotas.ended(accepted);
  const reader = new PredictionReader({ ...dependencies, load, onEnded });
  const acceptance = createAcceptance({ ...dependencies, quotas });
  const bodies = new Bodies({
    ...dependencies,
    shares: new Shares(dependencies.maxBufferedBytes, hasSeveralTenants),
  });
  const cursors = new Cursors(dependencies.signer);
  const common = {
    ...dependencies,
    acceptance,
    reader,
    load,
    quotas,
    waits,
    bodies,
    cursors,
    redeliveryRates: createRedeliveryRates(),
  };
  const deliveries = createDeliveries({
    engine: dependencies.deliveryEngine,
    reader,
    scheduleMs: dependencies.webhookScheduleMs,
  });
  const app = express();
  app.disable('x-powered-by').set('etag', false).set('query parser', 'simple');
  app.use(requestLog(logger, dependencies.workflowUrl), ...browserHeaders(dependencies));
  app.use(requireAccess(dependencies), cutSlowBodies(cutOff));
  app.use('/v1', predictionsRouter(common)); // the busiest first
  app.use('/v1', payloadsRouter(common));
  const watches = new Watches({ reader, engine, logger });
  app.use('/v1', eventsRouter({ ...common, watches }));
  app.use('/v1', predictionLifecycleRouter(common));
  app.use('/v1', predictionChangesRouter(common));
  app.use('/v1', predictionListRouter(common));
  app.use('/v1', webhookDeliveriesRouter({ ...common, deliveries }));
  app.use('/v1', webhookEndpointsRouter(common));
  app.use('/v1', endpointDeliveriesRouter({ ...common, deliveries }));
  app.use('/v1', webhookSecretRouter(common));
  app.use('/v1', modelsRouter(common));
  app.get('/v1', (_request, response) => {
    response.json(index(publicUrl));
  });
  app.get('/', (request, response) => {
    if (request.accepts(['json', 'html']) === 'html') response.redirect('/docs');
    else response.json(index(publicUrl));
  });
  app.use('/v2', v2Router(common));
  app.use(healthRouter({ engine, store, logger }));
  app.use(docsRouter({ ...dependencies, needsKeys: dependencies.keys !== null }));
  app.use(problemHandler(logger), lastHandler);
  return app;
}

const index = (publicUrl: string) => ({
  name: 'buzzer',
  urls: {
    predictions: `${publicUrl}/v1/predictions`,
    models: `${publicUrl}/v1/models`,
    webhook_endpoints: `${publicUrl}/v1/webhook_endpoints`,
    webhook_secret: `${publicUrl}/v1/webhook_secret`,
    openapi: `${publicUrl}/openapi.json`,
    docs: `${publicUrl}/docs`,
    health: `${publicUrl}/healthz`,
    readiness: `${publicUrl}/readyz`,
  },
});
