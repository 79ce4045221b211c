/* How long each crash costs: every process killed with -9 during a run, five times. */
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { burn, Service } from '../test/support/service.ts';
import { median } from './pairs.ts';

const TIMES = 5;
const HEARTBEAT_TIMEOUT_MS = 5000;

export async function measureRecovery(): Promise<void> {
  const service = await Service.startAlone({ BUZZER_LOG_LEVEL: 'warn' });
  console.log('kill -9 during a run, to the start of the next attempt (or to the end)');
  await repeat('model process → next attempt', async () => {
    const id = await runningBurn(service, 2);
    process.kill(await service.busyModelProcess(), 'SIGKILL');
    return await nextAttempt(service, id, Date.now());
  });
  await repeat('inference worker → next attempt, after its restart', async () => {
    const id = await runningBurn(service, 2);
    await service.inference.signal('SIGKILL');
    const restartedAt = Date.now();
    void service.inference.start();
    return await nextAttempt(service, id, restartedAt);
  });
  await repeat(
    'inference worker that stays away → next attempt, heartbeat timeout 5 s',
    async () => {
      const elsewhere = await mkdtemp(join(tmpdir(), 'buzzer-elsewhere-'));
      await symlink(join(service.dataDir, 'payloads'), join(elsewhere, 'payloads'));
      const id = await runningBurn(service, 2);
      const sibling = await service.startSibling({ BUZZER_DATA_DIR: elsewhere });
      await service.inference.signal('SIGKILL');
      const tookMs = await nextAttempt(service, id, Date.now());
      await sibling.signal('SIGTERM');
      await service.inference.start();
      await rm(elsewhere, { recursive: true });
      return tookMs - HEARTBEAT_TIMEOUT_MS;
    },
    'beyond the timeout',
  );
  await repeat('orchestration worker → end, after its restart', async () => {
    const id = await runningBurn(service, 0.5);
    await service.orchestration.signal('SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 1000)); // the run ends meanwhile
    const restartedAt = Date.now();
    await service.orchestration.start();
    await service.ended(id);
    return Date.now() - restartedAt;
  });
  await repeat('Temporal server, away for 5 s → end, after its restart', async () => {
    const id = await runningBurn(service, 2);
    await service.temporal.kill();
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const restartedAt = Date.now();
    await service.temporal.start();
    await service.ended(id);
    return Date.now() - restartedAt;
  });
  await service.close();
}

async function runningBurn(service: Service, seconds: number): Promise<string> {
  const { id } = await service.submit('burn', burn(seconds));
  await service.processing(id);
  return id;
}

async function nextAttempt(service: Service, id: string, sinceMs: number): Promise<number> {
  const { attempt } = await service.read(id);
  const record = await service.readUntil(id, 'to start again', ({ started_at: at, ...rest }) => {
    return rest.attempt >= Math.max(2, attempt) && at !== null && Date.parse(at) >= sinceMs;
  });
  await service.ended(id);
  return Date.parse(record.started_at ?? '') - sinceMs;
}

async function repeat(what: string, once: () => Promise<number>, unit = ''): Promise<void> {
  const times: number[] = [];
  for (let time = 0; time < TIMES; time++) times.push(await once());
  const most = Math.max(...times);
  console.log(`  ${what}: median ${median(times)} ms, most ${most} ms ${unit}`.trimEnd());
}
