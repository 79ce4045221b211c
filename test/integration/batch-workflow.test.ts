/*
 * The workflow of a batch on a real server, with results in a real store, and chunks that end after one item: so its
 * history grows until another run of the workflow has to go on.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { createBatchFileActivities } from '../../src/activities/batch-files.ts';
import { ItemIndexer } from '../../src/batches/item-index.ts';
import type { AcceptedBatch, EndedBatch, ItemResult } from '../../src/contract/batch.ts';
import type { InferChunkRequest, InferChunkResult } from '../../src/contract/batch-messages.ts';
import { BATCH_QUEUE, batchQueue, ORCHESTRATION_QUEUE } from '../../src/contract/task-queues.ts';
import { Files } from '../../src/files/files.ts';
import { readSmall } from '../../src/storage/claims.ts';
import { FilePayloadStore } from '../../src/storage/file-payload-store.ts';
import { BatchEngine } from '../../src/temporal/batch-engine.ts';
import { Engine } from '../../src/temporal/engine.ts';
import { until } from '../support/conditions.ts';
import { type Temporal, useTemporal } from '../support/temporal.ts';

/** More than one run of the workflow takes. */
const ITEMS = 700;
const LOST = 5;

let temporal: Temporal;
let native: NativeConnection;
let client: Client;
let engine: Engine;
let batches: BatchEngine;
let folder: string;
let store: FilePayloadStore;
let workers: readonly { readonly worker: Worker; readonly running: Promise<void> }[];

const startWorker = async (options: object) => {
  const worker = await Worker.create({
    connection: native,
    namespace: temporal.namespace,
    taskQueue: ORCHESTRATION_QUEUE,
    ...options,
  });
  return { worker, running: worker.run() };
};

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  folder = await mkdtemp(join(tmpdir(), 'buzzer-batches-'));
  store = await FilePayloadStore.open(folder);
  temporal = await useTemporal();
  native = await NativeConnection.connect({ address: temporal.address });
  const connection = await Connection.connect({ address: temporal.address });
  client = new Client({ connection, namespace: temporal.namespace });
  engine = new Engine(client);
  batches = new BatchEngine(engine);
  const fileActivities = createBatchFileActivities({
    store,
    files: new Files(store),
    fileTtlMs: 60_000,
  });
  workers = await Promise.all([
    startWorker({ workflowBundle: { codePath: resolve('dist/workflow-bundle.js') } }),
    startWorker({ taskQueue: BATCH_QUEUE, activities: fileActivities }),
    startWorker({
      taskQueue: batchQueue({ name: 'one-by-one', version: 1 }),
      activities: { inferChunk },
    }),
  ]);
});
afterAll(async () => {
  for (const { worker } of workers) worker.shutdown();
  await Promise.all(workers.map(async ({ running }) => await running));
  await native.close();
  await client.connection.close();
  await temporal.close();
  await rm(folder, { recursive: true });
});

/** A chunk of one item, whose output is its number. In batches of few items one result is lost. */
async function inferChunk(request: InferChunkRequest): Promise<InferChunkResult> {
  const { from } = request.range;
  const output: ItemResult = {
    custom_id: `n${from}`,
    index: from,
    status: 'succeeded',
    output: from,
    error: null,
  };
  const line = Buffer.from(`${JSON.stringify(output)}\n`);
  const key = `batches/${request.tenant}/${request.id}/chunks/${from}`;
  const part = await store.put(key, line, { mediaType: 'application/jsonl' });
  if (request.items.total < ITEMS && from === LOST) await store.delete(key);
  return {
    to: from + 1,
    parts: [part],
    counts: { succeeded: 1, failed: 0 },
    began_at: new Date().toISOString(),
    waited_ms: 0,
  };
}

async function start(id: string, total = ITEMS): Promise<AcceptedBatch> {
  const indexer = new ItemIndexer({ maxItems: total, maxLineBytes: 1000 });
  const body = (async function* () {
    for (let n = 0; n < total; n++) {
      yield Buffer.from(`${JSON.stringify({ custom_id: `n${n}`, input: n })}\n`);
    }
    await Promise.resolve();
  })();
  const json = { mediaType: 'application/json' };
  const lines = await store.put(`batches/default/${id}/lines`, indexer.through(body), json);
  const index = Buffer.from(JSON.stringify(indexer.index));
  const nowMs = Date.now();
  const accepted: AcceptedBatch = {
    id,
    tenant: 'default',
    model: 'one-by-one',
    version: 1,
    items: {
      lines,
      index: await store.put(`batches/default/${id}/index`, index, json),
      total,
      fetches: null,
    },
    options: {},
    metadata: {},
    tags: ['night'],
    priority: 5,
    result_ttl: '1h',
    queue_ttl: '1m',
    run_timeout: '1m',
    deadline: '5m',
    created_at: new Date(nowMs).toISOString(),
    deadline_at: new Date(nowMs + 300_000).toISOString(),
  };
  await batches.start({ accepted, heartbeatTimeoutMs: 2000, earlier: null });
  return accepted;
}

/** All lines of the output. */
async function resultsOf({ output }: EndedBatch): Promise<readonly ItemResult[]> {
  const lines = (await readSmall(store, output?.key ?? '')).toString().trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as ItemResult);
}

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);

const idOf = (n: number) => `batch_${String(n).padStart(26, '0')}`;

/** Resolves when another run of the workflow goes on. */
async function continued(id: string, firstRunId: string): Promise<void> {
  await until(
    `another run of ${id}`,
    async () => ((await engine.describe(id)).runId === firstRunId ? undefined : true),
    40_000,
  );
}

test('a batch with a long history goes on in another run, and nothing of it is lost', async () => {
  const { id } = await start(idOf(1));
  const first = await engine.describe(id);
  const end = batches.waitForEnd(id, AbortSignal.timeout(50_000));
  await continued(id, first.runId);
  const ended = (await end) as EndedBatch;
  expect(ended).toMatchObject({
    status: 'succeeded',
    counts: { succeeded: ITEMS, failed: 0 },
  });

  const outputs = (await resultsOf(ended)).map(({ output }) => output);
  expect(outputs).toEqual(numbers(ITEMS));
  const last = await engine.describe(id);
  expect(last.historyLength).toBeLessThan(2200);
  expect(last.searchAttributes).toMatchObject({ ...first.searchAttributes });
  expect(last.memo).toMatchObject({ accepted: { id, tags: ['night'] } });
  expect(last.priority).toEqual(first.priority);

  const [oldest] = await batches.history(last);
  expect(oldest).toMatchObject({ event: 'continued' });
  const { rows } = await batches.list(
    { tenant: 'default', status: 'succeeded' },
    { pageSize: 10, token: null },
  );
  expect(rows.filter((row) => row.id === id)).toHaveLength(1);
});

test('a cancel that comes after it went on keeps what the runs before it have done', async () => {
  const { id } = await start(idOf(2));
  const first = await engine.describe(id);
  await continued(id, first.runId);
  await batches.cancel(id);
  const ended = await until(`${id} to end`, async () => {
    const { closeTime, memo } = await engine.describe(id);
    return closeTime === undefined ? undefined : (memo?.['ended'] as EndedBatch);
  });
  const { succeeded } = ended.counts;
  expect(ended.status).toBe('canceled');
  expect(succeeded).toBeGreaterThan(100);
  const all = await resultsOf(ended);
  expect(all.map(({ index }) => index)).toEqual(numbers(ITEMS));
  expect(all.filter(({ status }) => status === 'succeeded')).toHaveLength(succeeded);
});

test('an item whose result was lost from the store has failed, and the others have not', async () => {
  const { id } = await start(idOf(3), 10);
  const ended = (await batches.waitForEnd(id, AbortSignal.timeout(30_000))) as EndedBatch;
  expect(ended).toMatchObject({ status: 'succeeded', counts: { succeeded: 9, failed: 1 } });
  const all = await resultsOf(ended);
  expect(all.map(({ custom_id }) => custom_id)).toEqual(numbers(10).map((n) => `n${n}`));
  expect(all.filter(({ status }) => status !== 'succeeded')).toEqual([
    expect.objectContaining({
      index: LOST,
      error: expect.objectContaining({ code: 'payload_missing' }) as unknown,
    }),
  ]);
});
