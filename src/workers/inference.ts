/* The inference worker: one device, one Temporal Worker per model version, activities only. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Worker } from '@temporalio/worker';
import { createInferenceActivities } from '../activities/inference.ts';
import type { Config } from '../config.ts';
import { payloadKeys } from '../contract/payload.ts';
import { inferenceQueue } from '../contract/task-queues.ts';
import { ProcessModelRuntime, slotsOf } from '../model/process-runtime.ts';
import { ModelRepository, type ModelVersion } from '../model/repository.ts';
import { FilePayloadStore } from '../storage/file-payload-store.ts';
import { createClient } from '../temporal/client.ts';
import { checkDevice } from './device-check.ts';
import { openInFlight } from './in-flight.ts';
import { runUntilStopped, runWorkerProcess, SetupError, type WorkerContext } from './run-worker.ts';
import { startStateFile } from './state-file.ts';

const HEARTBEAT_THROTTLE = '500ms'; // how late a worker may learn of a cancel

await runWorkerProcess('inference', hostname(), async (context) => {
  const { config, logger, identity } = context;
  const repository = await ModelRepository.open(config.modelFolders);
  const versions = repository.all();
  if (versions.length === 0) {
    throw new SetupError(`no models in ${config.modelFolders.join(', ')} (BUZZER_MODELS)`);
  }
  const environment = modelEnvironment(config);
  await checkDevice({ device: config.device, dataDir: config.dataDir, environment, logger });
  const store = await FilePayloadStore.open(config.payloadDir);
  const client = createClient({ ...config.temporal, identity });
  const runtime = new ProcessModelRuntime({
    versions,
    environment,
    logger,
    device: config.device,
    maxPixels: config.maxPixels,
    maxOutputBytes: config.maxOutputBytes,
  });
  const inFlight = await openInFlight({
    folder: join(config.dataDir, 'workers'),
    client,
    address: config.temporal.connection.address,
    namespace: config.temporal.namespace,
    identity,
    logger,
    onDead: async (dead) => await store.delete(payloadKeys.worker(dead)), // it serves nothing now
  });
  const activities = createInferenceActivities({
    runtime,
    store,
    inFlight,
    worker: identity,
    engineInlineLimit: config.engineInlineLimit,
  });
  const stateFile = startStateFile({ runtime, store, worker: identity, logger });
  const workers = await Promise.all(
    versions.map(async (version) => await createWorker(version, activities, context)),
  );
  runtime.preload();
  await runUntilStopped(workers, context);
  await runtime.close();
  await stateFile.close();
  await inFlight.close();
  await client.connection.close();
});

async function createWorker(
  version: ModelVersion,
  activities: ReturnType<typeof createInferenceActivities>,
  { config, connection, identity }: WorkerContext,
): Promise<Worker> {
  return await Worker.create({
    connection,
    identity,
    activities,
    namespace: config.temporal.namespace,
    taskQueue: inferenceQueue(version.ref),
    maxConcurrentActivityTaskExecutions: slotsOf(version),
    maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
    shutdownGraceTime: config.shutdownGraceMs, // the default, 0, would cancel what runs
  });
}

/** Model processes get the environment without our settings and secrets, and see one GPU. */
function modelEnvironment(config: Config): Record<string, string | undefined> {
  const kept = Object.entries(config.environment).filter(
    ([name]) => !name.startsWith('BUZZER_') && !name.startsWith('TEMPORAL_'),
  );
  const [, gpu] = config.device.split('cuda:');
  return {
    ...Object.fromEntries(kept),
    ...(gpu === undefined ? {} : { CUDA_VISIBLE_DEVICES: gpu }),
  };
}
