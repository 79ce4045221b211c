/*
 * The orchestration worker: runs the workflows, delivers webhooks, fetches inputs and handles the files of batches,
 * sweeps what has expired, each on a queue and with slots of its own. No models.
 */
import { access } from 'node:fs/promises';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker, type WorkerOptions } from '@temporalio/worker';
import { createBatchFileActivities } from '../activities/batch-files.ts';
import { createInputActivities } from '../activities/inputs.ts';
import { createChangeInferActivities } from '../activities/change-infer.ts';
import { createItemInputActivities } from '../activities/item-inputs.ts';
import { createSweepActivities } from '../activities/sweep.ts';
import { createWebhookActivities } from '../activities/webhooks.ts';
import {
  BATCH_QUEUE,
  DELIVERY_QUEUE,
  FETCH_QUEUE,
  ORCHESTRATION_QUEUE,
  SWEEP_QUEUE,
} from '../contract/task-queues.ts';
import { Files } from '../files/files.ts';
import { createGuardedClient, type GuardedClient } from '../outbound/guarded-client.ts';
import type { SweepDependencies } from '../retention/sweep-expired.ts';
import { openPayloadStore } from '../storage/open-payload-store.ts';
import { LimitedPayloadStore } from '../storage/limited-payload-store.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import { createClient } from '../temporal/client.ts';
import { Engine } from '../temporal/engine.ts';
import { BatchEngine } from '../temporal/batch-engine.ts';
import { PredictionEngine } from '../temporal/prediction-engine.ts';
import { scheduleSweep } from '../temporal/sweep-schedule.ts';
import { WebhookEndpoints } from '../webhooks/endpoints.ts';
import { OutboundTurns } from '../outbound/turns.ts';
import { openSecretBox } from '../secrets/secret-box.ts';
import { SigningSecrets } from '../webhooks/secrets.ts';
import { createSender } from '../webhooks/sender.ts';
import { cachedWorkflows, machineLimits } from './budget.ts';
import { PRIVATE_FAILURES } from './private-failures.ts';
import { runUntilStopped, runWorkerProcess, SetupError, type WorkerContext } from './run-worker.ts';

const DELIVERY_SLOTS = 1000; // each is a workflow at work, half a megabyte: 250 receivers may hang, 4 times each
/** How many requests this worker sends to one origin at once. */
const DELIVERIES_AT_ONCE = 4;
const FETCHES_AT_ONCE = 16; // many inputs may lie in one bucket
const FETCH_SLOTS = 128; // each streams to the store: a socket and a few chunks
/** How long what has expired may lie there. */
const LONGEST_PAUSE_MS = 600_000;
const BATCH_FILE_SLOTS = 4; // each copies files as fast as the store allows
const HEARTBEAT_THROTTLE = '500ms'; // how late a worker may learn of a cancel
const STICKY_TIMEOUT = '2s'; // how long a lost worker's workflows wait for it
const AGENT = 'Buzzer';
const WORKFLOW_BUNDLE = fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
const WORKFLOWS = {
  workflowBundle: { codePath: WORKFLOW_BUNDLE },
  stickyQueueScheduleToStartTimeout: STICKY_TIMEOUT,
} as const;

await runWorkerProcess('orchestration', hostname(), async (context) => {
  const { config, logger, identity } = context;
  await access(WORKFLOW_BUNDLE).catch(() => {
    throw new SetupError(`${WORKFLOW_BUNDLE} is missing: run npm run build`);
  });
  const store = await openPayloadStore(config.payloadPlace, config.encryptionKeys);
  const temporal = createClient({ ...config.temporal, identity });
  const engine = new Engine(temporal);
  const predictions = new PredictionEngine(engine);
  const batches = new BatchEngine(engine);
  const { resultTtlMs } = config;
  const sweeping = { engine, predictions, batches, store, resultTtlMs, now: Date.now, logger };
  const workers = await createWorkers(context, sweeping);
  await scheduleSweep(temporal, Math.min(LONGEST_PAUSE_MS, resultTtlMs));
  await runUntilStopped(workers, context);
  await temporal.connection.close();
});

async function createWorkers(
  context: WorkerContext,
  sweeping: SweepDependencies,
): Promise<readonly Worker[]> {
  const { config } = context;
  const { store, predictions } = sweeping;
  const http = createGuardedClient(config.addressPolicy);
  const records = createWorker(context, {
    taskQueue: ORCHESTRATION_QUEUE,
    activities: createChangeInferActivities(predictions),
    enableNonLocalActivities: false,
    ...WORKFLOWS,
    maxCachedWorkflows: config.cachedWorkflows ?? cachedWorkflows(machineLimits()),
  });
  const batchFiles = createWorker(context, {
    taskQueue: BATCH_QUEUE,
    activities: createBatchFileActivities({
      store,
      files: new Files(store),
      fileTtlMs: config.fileTtlMs,
    }),
    maxConcurrentActivityTaskExecutions: BATCH_FILE_SLOTS,
  });
  const sweep = createWorker(context, {
    taskQueue: SWEEP_QUEUE,
    activities: createSweepActivities(sweeping),
    maxConcurrentActivityTaskExecutions: 2, // what has expired is removed while the store is looked at
  });
  const delivery = createDeliveryWorker(context, store, http);
  const fetching = createFetchWorker(context, store, http);
  return await Promise.all([records, batchFiles, sweep, delivery, fetching]);
}

/** Where there are several tenants, one of them takes half of the slots, and of the turns at an origin, at most. */
function shareOf(slots: number, { keysFile }: WorkerContext['config']): number {
  return keysFile === null ? slots : Math.ceil(slots / 2);
}

async function createDeliveryWorker(
  context: WorkerContext,
  store: PayloadStore,
  client: GuardedClient,
): Promise<Worker> {
  const { config, logger } = context;
  const objects = { store, box: await openSecretBox(config.secretKeys, config.dataDir) };
  const secrets = new SigningSecrets(objects);
  const keepsAnswers = config.engineInlineLimit > 0;
  return await createWorker(context, {
    taskQueue: DELIVERY_QUEUE,
    activities: createWebhookActivities({
      endpoints: new WebhookEndpoints(objects),
      send: createSender({
        publicUrl: config.publicUrl,
        client,
        secrets,
        agent: AGENT,
        logger,
        keepsAnswers,
      }),
      turns: new OutboundTurns({
        perTenant: shareOf(DELIVERY_SLOTS, config),
        perOrigin: DELIVERIES_AT_ONCE,
        perTenantAndOrigin: shareOf(DELIVERIES_AT_ONCE, config),
      }),
      logger,
    }),
    enableNonLocalActivities: false, // each attempt runs beside its workflow
    maxConcurrentLocalActivityExecutions: DELIVERY_SLOTS,
    maxConcurrentWorkflowTaskExecutions: DELIVERY_SLOTS,
    ...WORKFLOWS,
    maxCachedWorkflows: DELIVERY_SLOTS,
  });
}

async function createFetchWorker(
  context: WorkerContext,
  store: PayloadStore,
  client: GuardedClient,
): Promise<Worker> {
  const { config, logger } = context;
  const fetching = {
    maxUploadBytes: config.maxUploadBytes,
    maxPixels: config.maxPixels,
    client,
    store: new LimitedPayloadStore(store, config.storage),
    agent: AGENT,
    turns: new OutboundTurns({
      perTenant: shareOf(FETCH_SLOTS, config),
      perOrigin: FETCHES_AT_ONCE,
      perTenantAndOrigin: shareOf(FETCHES_AT_ONCE, config),
    }),
    logger,
  };
  return await createWorker(context, {
    taskQueue: FETCH_QUEUE,
    activities: {
      ...createInputActivities(fetching),
      ...createItemInputActivities(fetching),
    },
    maxConcurrentActivityTaskExecutions: FETCH_SLOTS,
  });
}

async function createWorker(
  { config, connection, identity }: WorkerContext,
  options: Partial<WorkerOptions> & { readonly taskQueue: string },
): Promise<Worker> {
  return await Worker.create({
    connection,
    identity,
    namespace: config.temporal.namespace,
    shutdownGraceTime: config.shutdownGraceMs,
    maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
    ...(config.engineInlineLimit === 0 ? { interceptors: PRIVATE_FAILURES } : {}),
    ...options,
  });
}
