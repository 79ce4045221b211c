/* What a webhook costs, and what hanging receivers cost the others. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DEFAULT_SCHEDULE } from '../src/contract/delivery-schedule.ts';
import { until } from '../test/support/conditions.ts';
import { affine, Service } from '../test/support/service.ts';
import { percentile } from './pairs.ts';

const SAMPLES = 40;
const ROUNDS = 3;
const HANGING_RECEIVERS = 200;
const SETTINGS = {
  BUZZER_LOG_LEVEL: 'warn',
  BUZZER_OUTBOUND_ALLOW: 'http://127.0.0.0/8',
  BUZZER_WEBHOOK_SCHEDULE: DEFAULT_SCHEDULE,
};

export async function measureWebhooks(): Promise<void> {
  const service = await Service.startAlone(SETTINGS);
  const arrivals = new Map<string, number>();
  const receiver = createServer((request, response) => {
    arrivals.set(String(request.headers['webhook-id']), Date.now());
    request.resume().once('end', () => response.end());
  });
  const url = await listen(receiver);
  await firstAttempts(service, url, arrivals, 10); // warm
  await stateTransitions(service, url);
  const quiet: number[] = [];
  const beside: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    quiet.push(...(await firstAttempts(service, url, arrivals, SAMPLES)));
    const hung = await hangReceivers(service);
    beside.push(...(await firstAttempts(service, url, arrivals, SAMPLES)));
    await hung.release();
  }
  const [quietMs, besideMs] = [percentile(quiet, 95), percentile(beside, 95)];
  console.log(`first attempt after the end, idle: p50 ${percentile(quiet, 50)} p95 ${quietMs} ms`);
  console.log(
    `beside ${HANGING_RECEIVERS} hanging receivers: p50 ${percentile(beside, 50)} ` +
      `p95 ${besideMs} ms, ${(besideMs / quietMs).toFixed(2)} ×`,
  );
  receiver.close();
  await service.close();
}

/** Milliseconds from the end of each prediction to the arrival of its webhook, one at a time. */
async function firstAttempts(
  service: Service,
  webhook: string,
  arrivals: ReadonlyMap<string, number>,
  count: number,
): Promise<number[]> {
  const times: number[] = [];
  for (let sample = 0; sample < count; sample++) {
    const response = await service.post({ model: 'affine', input: affine(), webhook }, WAIT);
    const { id, completed_at: endedAt } = (await response.json()) as Ended;
    const event = id.replace('pred_', 'evt_');
    const arrivedAt = await until(`the webhook of ${id}`, () => arrivals.get(event));
    times.push(arrivedAt - Date.parse(endedAt));
  }
  return times;
}

const WAIT = { Prefer: 'wait=30' };
interface Ended {
  readonly id: string;
  readonly completed_at: string;
}

async function stateTransitions(service: Service, webhook: string): Promise<void> {
  const count = async (id: string) => {
    const text = await service.temporalCli('workflow', 'describe', '-w', id, '-o', 'json');
    const info = (JSON.parse(text) as { workflowExecutionInfo: { stateTransitionCount: string } })
      .workflowExecutionInfo;
    return Number(info.stateTransitionCount);
  };
  const plain: number[] = [];
  const told: number[] = [];
  for (let sample = 0; sample < 10; sample++) {
    const without = await service.post({ model: 'affine', input: affine() }, WAIT);
    plain.push(await count(((await without.json()) as Ended).id));
    const response = await service.post({ model: 'affine', input: affine(), webhook }, WAIT);
    const { id } = (await response.json()) as Ended;
    await until(`${id} to be told`, async () => await isTold(service, id));
    told.push((await count(id)) + (await count(`${id}.webhook`)));
  }
  const [without, withOne] = [percentile(plain, 50), percentile(told, 50)];
  console.log(
    `state transitions: ${without} without a webhook, ${withOne} with one, ${(withOne / without).toFixed(2)} ×`,
  );
}

async function isTold(service: Service, id: string): Promise<true | undefined> {
  const response = await fetch(`${service.url}/v1/predictions/${id}/webhook`);
  const { data } = (await response.json()) as { data: { status: string }[] };
  return data.every(({ status }) => status === 'delivered') ? true : undefined;
}

/** So many receivers, each an origin of its own, that accept a delivery and do not answer it. */
async function hangReceivers(service: Service): Promise<{ release(): Promise<void> }> {
  const held = new Set<ServerResponse>();
  let isReleased = false;
  const servers = Array.from({ length: HANGING_RECEIVERS }, () =>
    createServer((request, response) => {
      request.resume();
      if (isReleased) response.writeHead(410).end();
      else held.add(response.on('error', () => {}));
    }),
  );
  for (const server of servers) {
    const webhook = await listen(server);
    await service.post({ model: 'affine', input: affine(), webhook });
  }
  await until('all of them to hang', () => (held.size >= servers.length ? true : undefined));
  return {
    /** They answer that they are gone, which ends their deliveries. */
    async release() {
      isReleased = true;
      for (const response of held) response.writeHead(410).end();
      await until('the deliveries to end', async () => await nothingPends(service), 60_000);
      for (const server of servers) server.close();
    },
  };
}

async function nothingPends(service: Service): Promise<true | undefined> {
  await new Promise((resolve) => setTimeout(resolve, 1000)); // asking costs what is measured
  const query = "WorkflowType = 'webhookDeliveryWorkflow' AND ExecutionStatus = 'Running'";
  const text = await service.temporalCli('workflow', 'count', '--query', query, '-o', 'json');
  return Number((JSON.parse(text) as { count?: string }).count ?? 0) === 0 ? true : undefined;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}
