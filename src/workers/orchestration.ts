/* The orchestration worker: runs the workflows, no activities, no models. */
import { access } from 'node:fs/promises';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from '@temporalio/worker';
import { ORCHESTRATION_QUEUE } from '../contract/task-queues.ts';
import { runUntilStopped, runWorkerProcess, SetupError } from './run-worker.ts';

const CACHED_WORKFLOWS = 500; // about 0.1 MB each; a workflow that falls out is replayed
const WORKFLOW_BUNDLE = fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));

await runWorkerProcess('orchestration', hostname(), async (context) => {
  const { config, connection, identity } = context;
  await access(WORKFLOW_BUNDLE).catch(() => {
    throw new SetupError(`${WORKFLOW_BUNDLE} is missing: run npm run build`);
  });
  const worker = await Worker.create({
    connection,
    identity,
    namespace: config.temporal.namespace,
    taskQueue: ORCHESTRATION_QUEUE,
    workflowBundle: { codePath: WORKFLOW_BUNDLE },
    maxCachedWorkflows: CACHED_WORKFLOWS,
    stickyQueueScheduleToStartTimeout: '2s', // how long a lost worker's workflows wait for it
    shutdownGraceTime: config.shutdownGraceMs,
  });
  await runUntilStopped([worker], context);
});
