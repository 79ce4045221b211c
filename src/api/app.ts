/* The Express application: routes and the order they are tried in. No listening, no environment. */
import { randomUUID } from 'node:crypto';
import express, { type Express, type RequestHandler } from 'express';
import type { ModelRepository } from '../model/repository.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { DeliveryEngine } from '../temporal/delivery-engine.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import type { SigningSecrets } from '../webhooks/secrets.ts';
import { type AcceptanceDependencies, createAcceptance } from './acceptance.ts';
import { createDeliveries } from './deliveries.ts';
import { endpointDeliveriesRouter } from './endpoint-deliveries.ts';
import { eventsRouter } from './events.ts';
import { healthRouter } from './health.ts';
import { createLoad } from './load.ts';
import { modelsRouter } from './models.ts';
import { predictionLifecycleRouter } from './prediction-lifecycle.ts';
import { predictionListRouter } from './prediction-list.ts';
import { PredictionReader } from './prediction-reader.ts';
import { payloadsRouter, predictionsRouter } from './predictions.ts';
import { Problem, problemHandler } from './problems.ts';
import { v2Router } from './v2.ts';
import { webhookDeliveriesRouter } from './webhook-deliveries.ts';
import { webhookEndpointsRouter } from './webhook-endpoints.ts';
import { webhookSecretRouter } from './webhook-secret.ts';
import { Watches } from './watches.ts';

export interface AppDependencies extends AcceptanceDependencies {
  readonly engine: PredictionEngine;
  readonly deliveryEngine: DeliveryEngine;
  readonly secrets: SigningSecrets;
  readonly store: PayloadStore;
  readonly repository: ModelRepository;
  readonly logger: Logger;
  readonly publicUrl: string;
  /** Of Buzzer itself. */
  readonly softwareVersion: string;
  readonly maxJsonBytes: number;
  readonly responseInlineLimit: number;
  readonly resultTtlMs: number;
  /** Aborted when the process is to end. */
  readonly stop: AbortSignal;
}

export function createApp(dependencies: AppDependencies): Express {
  const { engine, store, repository, logger, publicUrl } = dependencies;
  const load = createLoad({ store, engine });
  const reader = new PredictionReader({ ...dependencies, load });
  const acceptance = createAcceptance(dependencies);
  const deliveries = createDeliveries({
    engine: dependencies.deliveryEngine,
    reader,
    scheduleMs: dependencies.webhookScheduleMs,
  });
  const app = express();
  app.disable('x-powered-by').set('etag', false).set('query parser', 'simple');
  app.use(requestLog(logger));
  app.use('/v1', predictionsRouter({ ...dependencies, acceptance, reader })); // the busiest first
  app.use('/v1', payloadsRouter({ reader, store }));
  const watches = new Watches({ reader, engine, logger });
  app.use('/v1', eventsRouter({ reader, watches, stop: dependencies.stop }));
  app.use('/v1', predictionLifecycleRouter({ ...dependencies, acceptance, reader }));
  app.use('/v1', predictionListRouter({ engine, reader }));
  app.use('/v1', webhookDeliveriesRouter({ ...dependencies, deliveries }));
  app.use('/v1', webhookEndpointsRouter(dependencies));
  app.use('/v1', endpointDeliveriesRouter({ ...dependencies, deliveries }));
  app.use('/v1', webhookSecretRouter(dependencies));
  app.use('/v1', modelsRouter({ repository, acceptance, load, publicUrl }));
  app.get('/v1', (_request, response) => {
    response.json(index(publicUrl));
  });
  app.use('/v2', v2Router({ ...dependencies, acceptance, load, reader }));
  app.use(healthRouter({ engine, store }));
  app.use(unknownRoute);
  app.use(problemHandler(logger));
  return app;
}

const index = (publicUrl: string) => ({
  name: 'buzzer',
  urls: {
    predictions: `${publicUrl}/v1/predictions`,
    models: `${publicUrl}/v1/models`,
    webhook_endpoints: `${publicUrl}/v1/webhook_endpoints`,
    webhook_secret: `${publicUrl}/v1/webhook_secret`,
    health: `${publicUrl}/healthz`,
    readiness: `${publicUrl}/readyz`,
  },
});

/** A client's own, to find its request in our log by: nothing that could be taken for more than an id. */
const REQUEST_ID = /^[\w.:-]{1,128}$/;

/** One line per request, with the id that its problem also carries. */
const requestLog =
  (logger: Logger): RequestHandler =>
  (request, response, next) => {
    const startedAt = performance.now();
    const given = request.get('X-Request-Id') ?? '';
    const requestId = REQUEST_ID.test(given) ? given : randomUUID();
    response.locals['requestId'] = requestId;
    response.setHeader('X-Request-Id', requestId);
    response.setHeader('X-Content-Type-Options', 'nosniff');
    response.once('close', () => {
      const { method, originalUrl } = request;
      const ms = Math.round(performance.now() - startedAt);
      const line = { method, url: originalUrl.split('?')[0], status: response.statusCode, ms };
      const isGone = !response.writableFinished;
      const level = method === 'POST' || response.statusCode >= 500 ? 'info' : 'debug';
      logger[level]({ ...line, request_id: requestId }, isGone ? 'the client hung up' : 'answered');
    });
    next();
  };

/** Paths we know, with the methods they take. */
const ROUTES: readonly (readonly [path: RegExp, methods: string])[] = [
  [/^\/v1\/predictions$/, 'GET, POST'],
  [/^\/v1\/predictions\/[^/]+\/(?:cancel|retry)$/, 'POST'],
  [/^\/v1\/predictions\/[^/]+$/, 'DELETE, GET'],
  [/^\/v1\/predictions\/[^/]+\/webhook\/redeliver$/, 'POST'],
  [/^\/v1\/predictions\/[^/]+(?:\/output|\/events|\/webhook|\/input\/[^/]+)?$/, 'GET'],
  [/^\/v1\/webhook_endpoints$/, 'GET, POST'],
  [/^\/v1\/webhook_endpoints\/[^/]+$/, 'DELETE, GET, PATCH'],
  [/^\/v1\/webhook_endpoints\/[^/]+\/deliveries$/, 'GET'],
  [/^\/v1\/webhook_endpoints\/[^/]+\/(?:test|redeliver)$/, 'POST'],
  [/^\/v1\/webhook_secret$/, 'GET'],
  [/^\/v1\/webhook_secret\/rotate$/, 'POST'],
  [/^\/v1\/models\/[^/]+\/predictions$/, 'POST'],
  [/^\/v1(?:\/models(?:\/[^/]+)?)?$/, 'GET'],
  [/^\/v2\/models\/[^/]+(?:\/versions\/[^/]+)?\/infer$/, 'POST'],
  [/^\/v2\/models\/[^/]+(?:\/versions\/[^/]+)?(?:\/ready)?$/, 'GET'],
  [/^\/v2\/repository\/index$/, 'POST'],
  [/^\/v2(?:\/health\/(?:live|ready))?$/, 'GET'],
  [/^\/(?:healthz|readyz)$/, 'GET'],
];

const unknownRoute: RequestHandler = (request) => {
  const path = request.path.replace(/(?<=.)\/$/, '');
  const methods = ROUTES.find(([pattern]) => pattern.test(path))?.[1];
  if (methods === undefined) {
    throw new Problem('not_found', `nothing is at ${request.path}; /v1 lists what there is`);
  }
  throw new Problem('method_not_allowed', `${request.path} takes ${methods}`, {
    headers: { Allow: methods },
  });
};
