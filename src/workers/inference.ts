/* The inference worker: one device; two Temporal Workers per model version, for predictions and for batches. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Worker } from '@temporalio/worker';
import { type ChunkActivities, createChunkActivities } from '../activities/batch-chunk.ts';
import {
  createInferenceActivities,
  type InferenceActivities,
  type InferenceDependencies,
  type OwnFolder,
} from '../activities/inference.ts';
import { InputBudget } from '../activities/input-budget.ts';
import type { Config } from '../config.ts';
import { payloadKeys } from '../contract/payload.ts';
import { batchQueue, inferenceQueue } from '../contract/task-queues.ts';
import { Files } from '../files/files.ts';
import { missingIn, probeConfinement } from '../runtime/confinement.ts';
import { removeDeadCgroups } from '../runtime/memory-limit.ts';
import { slotsOf } from '../runtime/model-pool.ts';
import { ProcessModelRuntime } from '../runtime/process-runtime.ts';
import { ModelRepository, type ModelVersion } from '../models/repository.ts';
import { remember } from '../records/remember.ts';
import { openSecretBox } from '../secrets/secret-box.ts';
import { openPayloadStore } from '../storage/open-payload-store.ts';
import { createClient } from '../temporal/client.ts';
import { machineLimits, overBudget } from './budget.ts';
import { chooseDevice } from './device-check.ts';
import { openInFlight } from './in-flight.ts';
import { InferenceMetrics } from './inference-metrics.ts';
import { startMetricsServer } from './metrics-server.ts';
import { PRIVATE_FAILURES } from './private-failures.ts';
import { runWorkerProcess, type WorkerContext } from './run-worker.ts';
import { ServedModels } from './served-models.ts';
import { startStateFile } from './state-file.ts';

const MAX_INPUT_BYTES = 512 * 1024 ** 2; // beside the model processes, which have limits of their own
const LONGEST_RUN = '48h'; // timeouts.run_s is at most a day
const LAST_REPORTS_MS = 3000; // for telling Temporal of attempts that were cut off
// How late a worker may learn of a cancel, and a client of a text.
const HEARTBEAT_THROTTLE = '500ms';
const STREAMING_HEARTBEAT_THROTTLE = '200ms';

/** The environment variables that a model process gets: none of our settings and no secrets. */
const KEPT_ENVIRONMENT = new RegExp(
  `^(?:${[
    'PATH|HOME|LANG|LC_\\w+|TZ|TMPDIR|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH',
    'NVIDIA_(?:VISIBLE_DEVICES|DRIVER_CAPABILITIES|REQUIRE_CUDA|TF32_OVERRIDE)',
    'VK_(?:DRIVER_FILES|ICD_FILENAMES|LAYER_PATH)',
    '(?:CUDA|CUDNN|OMP|KMP|MKL|OPENBLAS)_\\w+',
  ].join('|')})$`,
);

await runWorkerProcess('inference', hostname(), async (context) => {
  const { config, logger, identity, stop } = context;
  const repository = await openRepository(context);
  const store = await openPayloadStore(config.payloadPlace, config.encryptionKeys);
  const client = createClient({ ...config.temporal, identity });
  const { runtime, metrics } = await openRuntime(context);
  const inFlight = await openInFlight({
    folder: join(config.dataDir, 'workers'),
    client,
    address: config.temporal.connection.address,
    namespace: config.temporal.namespace,
    identity,
    logger,
    onDead: async (dead) => await store.delete(payloadKeys.worker(dead)), // the dead worker serves nothing now
  });
  const activities = createActivities(context, { runtime, store, inFlight, metrics });
  const metricsServer = await startMetricsServer({
    ...config.inferenceMetrics,
    metrics: async () => await metrics.text(),
    isReady: () => metrics.isReady(),
    logger,
  });
  const stateFile = startStateFile({ runtime, store, worker: identity, logger });
  let fail: (error: unknown) => void = () => {};
  const failure = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  const models = new ServedModels(repository, {
    runtime,
    logger,
    createWorkers: async (version) => await createWorkers(version, activities, context),
    onFatal: fail,
  });
  try {
    await Promise.race([models.settled(), failure]);
    if (!stop.aborted) context.ready();
    await Promise.race([aborted(stop), failure]);
    await Promise.race([models.close(), failure, elapsed(config.shutdownGraceMs)]);
  } finally {
    await runtime.close(); // also when a Temporal Worker has failed; what still runs is tried again elsewhere
  }
  await Promise.race([models.close(), elapsed(LAST_REPORTS_MS)]);
  for (const each of [metricsServer, stateFile, inFlight, client.connection]) await each.close();
});

function createActivities(
  { config, identity }: WorkerContext,
  { metrics, ...same }: Parts & { readonly metrics: InferenceMetrics },
): Activities {
  const { engineInlineLimit, maxUploadBytes, maxPixels } = config;
  const spoolFolder = join(same.inFlight.folder, 'spool');
  return {
    predictions: createInferenceActivities({
      ...same,
      spoolFolder,
      worker: identity,
      engineInlineLimit,
      openBox: remember(
        async () => await openSecretBox(config.secretKeys, config.dataDir),
        Infinity,
      ),
      inputBudget: new InputBudget(MAX_INPUT_BYTES),
      onEnded: (model, outcome) => metrics.attemptEnded(model, outcome),
      onFirstPart: (model, ms) => metrics.firstPart(model, ms),
    }),
    chunks: createChunkActivities({
      ...same,
      spoolFolder,
      files: new Files(same.store),
      limits: { maxUploadBytes, maxPixels },
      onItems: (model, outcome, count) => metrics.itemsEnded(model, outcome, count),
    }),
  };
}

async function openRepository({ config, logger }: WorkerContext): Promise<ModelRepository> {
  const repository = await ModelRepository.open(config.modelFolders);
  const versions = repository.all();
  if (versions.length === 0) {
    logger.warn(`no models yet in ${config.modelFolders.join(', ')} (BUZZER_MODELS)`);
  }
  const tooMuch = overBudget(versions, machineLimits());
  if (tooMuch !== null) logger.warn(tooMuch);
  return repository;
}

async function openRuntime({ config, logger }: WorkerContext) {
  const { dataDir, maxPixels, maxOutputBytes } = config;
  const allowsFallback = config.deviceFallback === 'cpu';
  const environment = modelEnvironment(config);
  const wanted = { device: config.device, allowsFallback, dataDir, environment, logger };
  const device = await chooseDevice(wanted);
  removeDeadCgroups();
  const metrics = new InferenceMetrics(config.device, device);
  const confinement = await probeConfinement(config.modelFolders, environment['PATH'] ?? '');
  const missing = missingIn(confinement);
  if (missing !== null) {
    logger.warn(`model processes can still ${missing}: this machine does not let us prevent it`);
  }
  const options = {
    device,
    environment,
    logger,
    observer: metrics,
    maxPixels,
    maxOutputBytes,
    confinement,
  };
  const runtime = new ProcessModelRuntime(options);
  metrics.watch(runtime);
  return { runtime, metrics };
}

async function elapsed(ms: number): Promise<void> {
  await new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => {
    signal.addEventListener('abort', resolve, { once: true });
  });
}

type Parts = Pick<InferenceDependencies, 'runtime' | 'store'> & {
  readonly inFlight: InferenceDependencies['inFlight'] & OwnFolder;
};

interface Activities {
  readonly predictions: InferenceActivities;
  readonly chunks: ChunkActivities;
}

async function createWorkers(
  version: ModelVersion,
  { predictions, chunks }: Activities,
  { config, connection, identity }: WorkerContext,
): Promise<readonly Worker[]> {
  const same = {
    connection,
    identity,
    namespace: config.temporal.namespace,
    // A version that changes is left in peace until what runs has ended; how long a worker that is
    // stopped may take, we measure ourselves. (The default, 0, would cancel what runs.)
    shutdownGraceTime: LONGEST_RUN,
    ...(config.engineInlineLimit === 0 ? { interceptors: PRIVATE_FAILURES } : {}),
  } as const;
  const ofPredictions = Worker.create({
    ...same,
    activities: predictions,
    taskQueue: inferenceQueue(version.ref),
    maxConcurrentActivityTaskExecutions: slotsOf(version),
    maxHeartbeatThrottleInterval:
      version.schema.streaming === null ? HEARTBEAT_THROTTLE : STREAMING_HEARTBEAT_THROTTLE,
  });
  const ofBatches = Worker.create({
    ...same,
    activities: chunks,
    taskQueue: batchQueue(version.ref),
    maxConcurrentActivityTaskExecutions: version.manifest.resources.replicas,
    maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
  });
  return await Promise.all([ofPredictions, ofBatches]);
}

function modelEnvironment(config: Config): Record<string, string | undefined> {
  const kept = Object.entries(config.environment).filter(([name]) => KEPT_ENVIRONMENT.test(name));
  const [, gpu] = config.device.split('cuda:');
  return {
    ...Object.fromEntries(kept),
    ...(gpu === undefined ? {} : { CUDA_VISIBLE_DEVICES: gpu }), // it sees one GPU
  };
}
