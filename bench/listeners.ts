/* What it costs the API that many listen to predictions that run. */
import { readFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { until } from '../test/support/conditions.ts';
import { affine, Service } from '../test/support/service.ts';
import { residentMegabytes } from './children.ts';

const PREDICTIONS = 50;
const LISTENERS = 500;

export async function measureListeners(): Promise<void> {
  // Without an inference worker they wait, and go on changing nothing.
  const service = await Service.startAlone({ BUZZER_LOG_LEVEL: 'warn' }, ['api', 'orchestration']);
  const ids: string[] = [];
  for (let count = 0; count < PREDICTIONS; count++) {
    ids.push((await service.submit('affine', affine())).id);
  }
  const before = residentMegabytes(service.api.pid);
  const streams = await Promise.all(
    Array.from({ length: LISTENERS }, async (_, index) => {
      return await open(`${service.url}/v1/predictions/${ids[index % ids.length]}/events`);
    }),
  );
  await new Promise((resolve) => setTimeout(resolve, 5000));
  const cpuBefore = cpuSeconds(service.api.pid);
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const cpu = (cpuSeconds(service.api.pid) - cpuBefore) / 10;
  const during = residentMegabytes(service.api.pid);
  let ended = 0;
  for (const stream of streams) stream.resume().once('end', () => (ended += 1));
  await service.inference.start();
  await until('every stream to end', () => (ended === LISTENERS ? true : undefined), 60_000);
  console.log(
    `${LISTENERS} listeners on ${PREDICTIONS} predictions: ${during} MB resident ` +
      `(${before} before), ${(cpu * 100).toFixed(0)} % of a core; all ${ended} heard of the end`,
  );
  await service.close();
}

const open = async (url: string): Promise<IncomingMessage> =>
  await new Promise((resolve, reject) => {
    get(url, { agent: false }, resolve).once('error', reject);
  });

function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
