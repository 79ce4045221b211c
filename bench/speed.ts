/* Latency and throughput, each against the least that the same machine could do. */
import { readFile } from 'node:fs/promises';
import { Client, Connection } from '@temporalio/client';
import { affine, Service } from '../test/support/service.ts';
import { ask, startChild } from './children.ts';
import { call } from './http-client.ts';
import { inPairs, latencyMs, print, throughput } from './pairs.ts';

const PAIRS = 7;
const PAGES = 8;

export async function measureSpeed(): Promise<void> {
  const service = await Service.startAlone({ BUZZER_LOG_LEVEL: 'warn' });
  const floorWorker = await startChild(
    'bench/floor-worker.ts',
    service.temporal.address,
    service.temporal.namespace,
  );
  const connection = await Connection.connect({ address: service.temporal.address });
  const client = new Client({ connection, namespace: service.temporal.namespace });
  let count = 0;
  const floor = async () =>
    await client.workflow.execute('floorWorkflow', {
      taskQueue: 'floor',
      workflowId: `floor-${(count += 1)}`,
      args: [[20]],
    });
  const json = { 'Content-Type': 'application/json', Prefer: 'wait' };
  const affineRequest = JSON.stringify({ model: 'affine', input: affine(20) });
  const predictions = `${service.url}/v1/predictions`;
  const ours = async () => await call('POST', predictions, json, affineRequest);

  console.log('affine, Prefer: wait, against one workflow with one trivial activity');
  const latency = await inPairs(
    PAIRS,
    async () => await latencyMs(30, ours),
    async () => await latencyMs(30, floor),
  );
  print('  one at a time, p50', latency, 'ms');
  for (const [atOnce, calls] of [
    [16, 160],
    [64, 256],
  ] as const) {
    const rate = await inPairs(
      PAIRS,
      async () => await throughput(calls, atOnce, ours),
      async () => await throughput(calls, atOnce, floor),
    );
    print(`  ${atOnce} at once`, rate, '/s');
  }

  console.log('GET of an ended prediction, against a bare describe');
  const { id } = await service.submit('affine', affine());
  await service.ended(id);
  const get = async () => await call('GET', `${predictions}/${id}`);
  const describe = async () => await client.workflow.getHandle(id).describe();
  for (const atOnce of [1, 16]) {
    const rate = await inPairs(
      PAIRS,
      async () => await throughput(400, atOnce, get),
      async () => await throughput(400, atOnce, describe),
    );
    print(`  ${atOnce} at once`, rate, '/s');
  }
  floorWorker.kill('SIGKILL');

  console.log('OCR of a page of 768×384, against a plain loop over the same sessions');
  const loop = await startChild('bench/plain-loop.ts', String(PAGES));
  const page = await readFile('examples/page.png');
  const png = { 'Content-Type': 'image/png', Prefer: 'wait' };
  const ocrPredictions = `${service.url}/v1/models/ocr/predictions`;
  const readPage = async () => await call('POST', ocrPredictions, png, page);
  const ocr = await inPairs(
    PAIRS,
    async () => await throughput(PAGES, 4, readPage),
    async () => await ask(loop, 'go'),
  );
  print('  pages', ocr, '/s');
  loop.kill('SIGKILL');
  await connection.close();
  await service.close();
}
