/* What it takes to accept: the time that a POST adds to a bare start, and ten thousand at once. */
import { Agent, request } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { affine, Service } from '../test/support/service.ts';
import { until } from '../test/support/conditions.ts';
import { residentMegabytes } from './children.ts';
import { inPairs, latencyMs, print } from './pairs.ts';

const PAIRS = 7;
const SUBMISSIONS = 10_000;
const CONNECTIONS = 200;
const ENDS_WITHIN_MS = 1_200_000;
const COUNT_EVERY_MS = 5000;

/** Without any worker: nothing but the acceptance is measured. */
export async function measureAcceptance(): Promise<void> {
  const service = await Service.startAlone({ BUZZER_LOG_LEVEL: 'warn' }, ['api']);
  const connection = await Connection.connect({ address: service.temporal.address });
  const client = new Client({ connection, namespace: service.temporal.namespace });
  const send = poster(service.url);
  const record = await service.submit('affine', affine());
  const described = await client.workflow.getHandle(record.id).describe();
  let count = 0;
  const bare = async () =>
    await client.workflow.start('predictionWorkflow', {
      taskQueue: 'nobody',
      workflowId: `bare-${(count += 1)}`,
      args: [{ accepted: described.memo?.['accepted'], heartbeatTimeoutMs: 5000 }],
      memo: described.memo ?? {},
      searchAttributes: {
        BuzzerModel: ['affine'],
        BuzzerVersion: ['1'],
        BuzzerTenant: ['default'],
      },
      workflowTaskTimeout: '5s',
    });
  console.log('POST /v1/predictions, against a bare workflow.start of the same');
  const latency = await inPairs(
    PAIRS,
    async () => await latencyMs(60, send),
    async () => await latencyMs(60, bare),
  );
  print('  one at a time, p50', latency, 'ms');
  await connection.close();
  await service.close();
}

/** All of them at once, and then the end of each. */
export async function measureBurst(): Promise<void> {
  const service = await Service.startAlone({ BUZZER_LOG_LEVEL: 'warn' });
  const before = residentMegabytes(service.api.pid);
  let most = before;
  const sampling = setInterval(() => {
    most = Math.max(most, residentMegabytes(service.api.pid));
  }, 200);
  const send = poster(service.url);
  const answers = new Map<number, number>();
  const ledger = new Set<string>();
  let doubled = 0;
  let uncertain = 0;
  let left = SUBMISSIONS;
  const startedAt = Date.now();
  const connection = async () => {
    while (left > 0) {
      left -= 1;
      const { status, id } = await send();
      answers.set(status, (answers.get(status) ?? 0) + 1);
      if (status === 503 && id !== '') uncertain += 1;
      if (status !== 202) continue;
      if (ledger.has(id)) doubled += 1;
      ledger.add(id);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
  const tookS = (Date.now() - startedAt) / 1000;
  const count = async (clause: string) => {
    const query = `WorkflowType = 'predictionWorkflow'${clause}`;
    const text = await service.temporalCli('workflow', 'count', '-q', query);
    return Number(/\d+/.exec(text)?.[0]);
  };
  const isDone = async () => {
    await setTimeout(COUNT_EVERY_MS); // each is a process of its own, beside what it measures
    return (await count(" AND ExecutionStatus = 'Running'")) === 0 ? true : undefined;
  };
  await until('every one to end', isDone, ENDS_WITHIN_MS).catch(() => {});
  clearInterval(sampling);
  const endedS = (Date.now() - startedAt) / 1000;
  const states = new Map<string, number>();
  for (const id of ledger) {
    const { status } = await service.read(id).catch(() => ({ status: 'lost' }));
    states.set(status, (states.get(status) ?? 0) + 1);
  }
  const there = await count('');
  const list = (counts: Map<string | number, number>) =>
    [...counts].map(([what, times]) => `${times} × ${what}`).join(', ');
  console.log(
    `${SUBMISSIONS} submissions from ${CONNECTIONS} connections: ${list(answers)} ` +
      `in ${tookS.toFixed(0)} s (${(SUBMISSIONS / tookS).toFixed(0)}/s)`,
  );
  console.log(
    `  of ${ledger.size} accepted: ${list(states)}; ${doubled} ids came twice; ` +
      `all ended ${endedS.toFixed(0)} s after the first`,
  );
  console.log(
    `  ${there} workflows in all: ${there - ledger.size} of answers that said it was not certain (${uncertain} did)`,
  );
  console.log(`  API: ${most} MB resident at most (${before} before)`);
  await service.close();
}

/** Submits one prediction with little effort of its own. */
export function poster(url: string, order: object = { model: 'affine', input: affine() }) {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const body = JSON.stringify(order);
  const headers = {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
  };
  return async () =>
    await new Promise<{ status: number; id: string }>((resolve, reject) => {
      const call = request(
        `${url}/v1/predictions`,
        { method: 'POST', agent, headers },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
          answer.once('end', () => {
            const { id, prediction_id } = JSON.parse(text) as {
              id?: string;
              prediction_id?: string;
            };
            resolve({ status: answer.statusCode ?? 0, id: id ?? prediction_id ?? '' });
          });
        },
      );
      call.once('error', reject).end(body);
    });
}
