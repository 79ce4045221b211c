/* The Express application: routes and the order they are tried in. No listening, no environment. */
import express, { type Express } from 'express';
import type { Accepted } from '../contract/prediction.ts';
import type { ModelRepository } from '../models/repository.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { DeliveryEngine } from '../temporal/delivery-engine.ts';
import type { Engine } from '../temporal/engine.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import type { SigningSecrets } from '../webhooks/secrets.ts';
import { type AccessSettings, requireAccess } from './http/access.ts';
import { Acceptance, type AcceptanceDependencies } from '../submission/acceptance.ts';
import { countAnswers } from './http/answers.ts';
import { Bodies } from './http/bodies.ts';
import { browserHeaders } from './http/browser-headers.ts';
import { Cursors, type Signer } from './http/cursor.ts';
import { createDeliveries } from '../records/deliveries.ts';
import { docsRouter } from './openapi/docs.ts';
import { healthRouter } from './health.ts';
import { createLoad } from '../records/why-queued.ts';
import { PredictionReader } from '../records/prediction-reader.ts';
import { cutOff, lastHandler, problemHandler, speak } from './http/problems.ts';
import { HeavyWork } from '../records/heavy-work.ts';
import { QuotaKeeper, type Quotas } from '../submission/quotas.ts';
import { oneAtATime } from './http/pipelining.ts';
import { createRedeliveryRates } from './http/rate.ts';
import { requestLog, type WorkflowUrl } from './http/request-log.ts';
import { Shares } from './http/shares.ts';
import { cutSlowBodies } from './http/slow-bodies.ts';
import { OPEN_INFERENCE } from './v2/dialect.ts';
import { indexOf, v1Router } from './v1/router.ts';
import { v2Router } from './v2/router.ts';
import { Waits } from './http/waits.ts';
import { Watches } from '../records/follower.ts';

export interface AppDependencies
  extends Omit<AcceptanceDependencies, 'quotas' | 'heavyWork'>, AccessSettings {
  readonly engine: Engine;
  readonly predictions: PredictionEngine;
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
  /** Aborted when the process is to end. */
  readonly stop: AbortSignal;
}

export function createApp(dependencies: AppDependencies): Express {
  const { engine, predictions, store, logger, publicUrl } = dependencies;
  const load = createLoad({ store, engine, logger });
  const hasSeveralTenants = dependencies.keys !== null;
  const quotas = new QuotaKeeper(dependencies.quotas, predictions, hasSeveralTenants);
  const waits = new Waits(new Shares(dependencies.maxWaiting, hasSeveralTenants));
  const onEnded = (accepted: Accepted) => quotas.ended(accepted);
  const reader = new PredictionReader({ ...dependencies, load, onEnded });
  const heavyWork = new HeavyWork();
  const acceptance = new Acceptance({ ...dependencies, quotas, heavyWork });
  const bodies = new Bodies({
    ...dependencies,
    heavyWork,
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
    deliveries: createDeliveries({
      engine: dependencies.deliveryEngine,
      reader,
      scheduleMs: dependencies.webhookScheduleMs,
    }),
    watches: new Watches({ reader, predictions, logger }),
    redeliveryRates: createRedeliveryRates(),
  };
  const app = express();
  app.disable('x-powered-by').set('etag', false).set('query parser', 'simple');
  app.use(oneAtATime());
  app.use(requestLog(logger, dependencies.workflowUrl), ...browserHeaders(dependencies));
  app.use('/v2', speak(OPEN_INFERENCE));
  const unread = new Shares(dependencies.maxBufferedBytes, hasSeveralTenants);
  app.use(requireAccess(dependencies), cutSlowBodies(cutOff), countAnswers(unread, heavyWork));
  app.use('/v1', v1Router(common));
  app.get('/', (request, response) => {
    if (request.accepts(['json', 'html']) === 'html') response.redirect('/docs');
    else response.json(indexOf(publicUrl));
  });
  app.use('/v2', v2Router(common));
  app.use(healthRouter({ engine, store, logger }));
  app.use(docsRouter({ ...dependencies, needsKeys: dependencies.keys !== null }));
  app.use(problemHandler(logger), lastHandler);
  return app;
}
