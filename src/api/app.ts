/* The Express application: routes and the order they are tried in. No listening, no environment. */
import express, { type Express } from 'express';
import type { ModelRef } from '../contract/model.ts';
import type { Files } from '../files/files.ts';
import type { ModelRepository } from '../models/repository.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { DeliveryEngine } from '../temporal/delivery-engine.ts';
import type { Engine } from '../temporal/engine.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import type { SigningSecrets } from '../webhooks/secrets.ts';
import { type AccessSettings, requireAccess } from './http/access.ts';
import { Acceptance, type AcceptanceDependencies } from '../submission/acceptance.ts';
import {
  BatchAcceptance,
  type BatchAcceptanceDependencies,
} from '../submission/batch-acceptance.ts';
import { countAnswers } from './http/answers.ts';
import { Bodies } from './http/bodies.ts';
import { browserHeaders } from './http/browser-headers.ts';
import { Cursors } from './http/cursor.ts';
import { Deliveries } from '../records/deliveries.ts';
import { docsRouter } from './openapi/docs.ts';
import { healthRouter } from './health.ts';
import { WhyQueued } from '../records/why-queued.ts';
import { BatchReader } from '../records/batch-reader.ts';
import { PredictionReader } from '../records/prediction-reader.ts';
import { cutOff, lastHandler, problemHandler, speak } from './http/problems.ts';
import { HeavyWork } from '../records/heavy-work.ts';
import { QuotaKeeper, type Quotas } from '../submission/quotas.ts';
import { oneAtATime } from './http/pipelining.ts';
import { createRedeliveryRates } from './http/rate.ts';
import { requestLog, type WorkflowUrl } from './http/request-log.ts';
import { Shares } from './http/shares.ts';
import { cutSlowBodies } from './http/slow-bodies.ts';
import { OPENAI } from './openai/dialect.ts';
import { openAiRouter } from './openai/router.ts';
import { OPEN_INFERENCE } from './v2/dialect.ts';
import type { FilesDependencies } from './v1/files.ts';
import { indexOf, v1Router } from './v1/router.ts';
import { v2Router } from './v2/router.ts';
import { WaitLimit } from './http/wait-limit.ts';
import { batchFollower, predictionFollower } from '../records/followers.ts';

export interface AppDependencies
  extends
    Omit<AcceptanceDependencies & BatchAcceptanceDependencies, 'quotas' | 'heavyWork' | 'limits'>,
    AccessSettings {
  readonly engine: Engine;
  readonly predictions: PredictionEngine;
  readonly files: Files;
  readonly deliveryEngine: DeliveryEngine;
  readonly secrets: SigningSecrets;
  readonly store: PayloadStore;
  readonly repository: ModelRepository;
  readonly logger: Logger;
  readonly workflowUrl: WorkflowUrl;
  readonly publicUrl: string;
  /** Of Buzzer itself. */
  readonly softwareVersion: string;
  readonly maxJsonBytes: number;
  readonly limits: AcceptanceDependencies['limits'] &
    BatchAcceptanceDependencies['limits'] &
    FilesDependencies['limits'];
  readonly maxBufferedBytes: number;
  readonly maxWaiting: number;
  readonly quotas: Quotas;
  readonly responseInlineLimit: number;
  /** Aborted when the process is to end. */
  readonly stop: AbortSignal;
}

export function createApp(dependencies: AppDependencies): Express {
  const { engine, store, repository, logger, publicUrl, softwareVersion } = dependencies;
  const { forV1, answering, heavyWork, unread } = assemble(dependencies);
  const app = express();
  app.disable('x-powered-by').set('etag', false).set('query parser', 'simple');
  app.use(oneAtATime());
  app.use(requestLog(logger, dependencies.workflowUrl), ...browserHeaders(dependencies));
  app.use('/v2', speak(OPEN_INFERENCE));
  app.use('/openai', speak(OPENAI));
  app.use(requireAccess(dependencies), cutSlowBodies(cutOff), countAnswers(unread, heavyWork));
  app.use('/v1', v1Router(forV1));
  app.get('/', (request, response) => {
    if (request.accepts(['json', 'html']) === 'html') response.redirect('/docs');
    else response.json(indexOf(publicUrl));
  });
  app.use('/v2', v2Router(answering));
  app.use('/openai/v1', openAiRouter({ ...forV1, repository, logger }));
  app.use(healthRouter({ engine, store, logger }));
  const needsKeys = dependencies.keys !== null;
  app.use(docsRouter({ repository, publicUrl, softwareVersion, needsKeys }));
  app.use(problemHandler(logger), lastHandler);
  return app;
}

/** What the routers work with, out of what the process has. */
function assemble(dependencies: AppDependencies) {
  const { engine, predictions, batches, store, logger, publicUrl, limits } = dependencies;
  const whyQueued = new WhyQueued({ store, engine, logger });
  const hasSeveralTenants = dependencies.keys !== null;
  const quotas = new QuotaKeeper(dependencies.quotas, predictions, hasSeveralTenants);
  const waitLimit = new WaitLimit(new Shares(dependencies.maxWaiting, hasSeveralTenants));
  const heavyWork = new HeavyWork();
  const { repository, endpoints, webhookScheduleMs, maxJsonBytes, maxBufferedBytes } = dependencies;
  const reader = readerOf(dependencies, whyQueued, quotas);
  const batchReader = batchReaderOf(dependencies, whyQueued, quotas);
  const accepting = { ...dependencies, quotas, heavyWork };
  const bodies = new Bodies({
    shares: new Shares(maxBufferedBytes, hasSeveralTenants),
    maxJsonBytes,
    heavyWork,
  });
  const deliveryEngine = dependencies.deliveryEngine;
  const answering = {
    engine,
    predictions,
    reader,
    store,
    whyQueued,
    quotas,
    waitLimit,
    acceptance: new Acceptance(accepting),
    bodies,
    repository,
    publicUrl,
    limits,
    maxJsonBytes,
    softwareVersion: dependencies.softwareVersion,
  };
  const forV1 = {
    ...answering,
    endpoints,
    addressPolicy: dependencies.addressPolicy,
    deliveryEngine,
    secrets: dependencies.secrets,
    stop: dependencies.stop,
    cursors: new Cursors(dependencies.box),
    deliveries: new Deliveries({ engine: deliveryEngine, scheduleMs: webhookScheduleMs }),
    files: dependencies.files,
    batches,
    batchReader,
    batchAcceptance: new BatchAcceptance(accepting),
    follower: followerOf(dependencies, reader),
    batchFollower: batchFollower({ batchReader, batches, logger }),
    redeliveryRates: createRedeliveryRates(),
  };
  const unread = new Shares(maxBufferedBytes, hasSeveralTenants);
  return { forV1, answering, heavyWork, unread };
}

const followerOf = (
  { repository, predictions, logger }: AppDependencies,
  reader: PredictionReader,
) => {
  const isStreaming = (model: ModelRef) => repository.streaming(model) !== null;
  return predictionFollower({ reader, predictions, logger, isStreaming });
};

const readerOf = (
  { engine, predictions, store, publicUrl, responseInlineLimit }: AppDependencies,
  whyQueued: WhyQueued,
  quotas: QuotaKeeper,
) =>
  new PredictionReader({
    engine,
    predictions,
    store,
    whyQueued,
    publicUrl,
    responseInlineLimit,
    onEnded: (accepted) => quotas.ended({ kind: 'prediction', ...accepted }),
  });

const batchReaderOf = (
  { engine, batches, store, publicUrl }: AppDependencies,
  whyQueued: WhyQueued,
  quotas: QuotaKeeper,
) =>
  new BatchReader({
    engine,
    batches,
    store,
    whyQueued,
    publicUrl,
    onEnded: (accepted) => quotas.ended({ kind: 'batch', ...accepted }),
  });
