/*
 * How fast a backlog drains, a large one against a small one. Nothing is asked of the engine meanwhile:
 * the worker's own metrics tell how far it is, and every id is read in the end.
 */
import { Agent, get } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { affine, cpuTicks, Service } from '../test/support/service.ts';
import type { TemporalServer } from '../test/support/temporal.ts';
import { freePort } from '../test/support/temporal.ts';
import { poster } from './acceptance.ts';
import { residentMegabytes } from './children.ts';

const BACKLOGS = [500, 10_000];
const CONNECTIONS = 16;
const LOOK_EVERY_MS = 500;
const MS_PER_TICK = 10;
const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
const PROCESSES = ['temporal', 'orchestration', 'inference', 'api'] as const;

export async function measureDrain(): Promise<void> {
  const rates: number[] = [];
  for (const backlog of BACKLOGS) rates.push(await drain(backlog));
  const [small = 1, large = 0] = rates;
  console.log(
    `  the large one drains at ${(large / small).toFixed(2)} × the rate of the small one`,
  );
}

/** Predictions a second. */
async function drain(backlog: number): Promise<number> {
  const metricsPort = await freePort();
  const service = await Service.startAlone(
    { BUZZER_LOG_LEVEL: 'warn', BUZZER_METRICS_PORT: String(metricsPort) },
    ['api', 'orchestration'],
  );
  try {
    return await drained(service, backlog, metricsPort);
  } finally {
    await service.close();
  }
}

async function drained(
  service: Service<TemporalServer>,
  backlog: number,
  metricsPort: number,
): Promise<number> {
  const ledger = await submit(service, backlog);
  await everyoneWaits(service, ledger);
  const cpuBefore = ticksOf(service);
  let most = memoryOf(service);
  await service.inference.start();
  let firstAtMs = 0;
  let done = 0;
  let firstDone = 0;
  while (done < backlog) {
    await pause(LOOK_EVERY_MS);
    done = await succeeded(metricsPort);
    if (firstAtMs === 0 && done > 0) [firstAtMs, firstDone] = [Date.now(), done];
    const now = memoryOf(service);
    most = most.map((mb, index) => Math.max(mb, now[index] ?? 0));
  }
  const rate = (done - firstDone) / ((Date.now() - firstAtMs) / 1000);
  const cpu = ticksOf(service).map((ticks, index) => ticks - (cpuBefore[index] ?? 0));
  const each = PROCESSES.map(
    (name, index) =>
      `${name} ${(((cpu[index] ?? 0) * MS_PER_TICK) / backlog).toFixed(1)} ms, ${most[index]} MB`,
  );
  console.log(`${backlog} waiting: drained at ${rate.toFixed(1)}/s`);
  console.log(`  CPU of each prediction, and memory at most: ${each.join('; ')}`);
  const states = await statesOf(service, ledger);
  console.log(
    `  in the end: ${[...states].map(([what, count]) => `${count} × ${what}`).join(', ')}`,
  );
  return rate;
}

async function submit({ url }: Service, count: number): Promise<ReadonlySet<string>> {
  const send = poster(url, { model: 'affine', input: affine() });
  const ledger = new Set<string>();
  let left = count;
  const connection = async () => {
    while (left > 0) {
      left -= 1;
      const { status, id } = await send();
      if (status === 202) ledger.add(id);
      else left += 1; // the dev server was late: once more
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
  return ledger;
}

/** Until each workflow has had its first task, and its inference waits: starting is not draining. */
async function everyoneWaits(service: Service, ledger: ReadonlySet<string>): Promise<void> {
  const [id = ''] = ledger;
  for (;;) {
    await pause(5000);
    const { queue } = await service.read(id);
    if ((queue?.depth ?? 0) >= ledger.size * 0.98) break; // it is approximate
  }
  await pause(5000); // what the engine still writes down of the starts
}

/** What became of each id, read without anything that the tests add. */
async function statesOf({ url }: Service, ledger: ReadonlySet<string>) {
  const states = new Map<string, number>();
  const left = [...ledger];
  const reader = async () => {
    for (let id = left.pop(); id !== undefined; id = left.pop()) {
      const status = await statusOf(`${url}/v1/predictions/${id}?wait=30`);
      states.set(status, (states.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, reader));
  return states;
}

const statusOf = async (url: string): Promise<string> =>
  await new Promise((resolve) => {
    const call = get(url, { agent }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      answer.once('end', () => resolve((JSON.parse(text) as { status: string }).status));
    });
    call.once('error', () => resolve('lost'));
  });

async function succeeded(port: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const [, count] = /^buzzer_attempts_total\{[^}]*outcome="succeeded"\} (\d+)/m.exec(text) ?? [];
  return Number(count ?? 0);
}

const pidsOf = (service: Service<TemporalServer>): readonly number[] =>
  PROCESSES.map((name) => service[name].pid);
const ticksOf = (service: Service<TemporalServer>): readonly number[] =>
  pidsOf(service).map(cpuTicks);
const memoryOf = (service: Service<TemporalServer>): readonly number[] =>
  pidsOf(service).map((pid) => (pid === 0 ? 0 : residentMegabytes(pid)));
