/* Real Temporal dev servers, with the flags of `npm start`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareNamespace, temporalServerCommand } from '../../src/dev/temporal-server.ts';
import { tieToParent } from '../../src/runtime/tied-process.ts';

/** A namespace on a server. */
export interface Temporal {
  readonly address: string;
  readonly namespace: string;
  /** Where the server's database lies. */
  readonly folder: string;
  close(): Promise<void>;
}

/** A server of one's own, which a test may kill. */
export interface TemporalServer extends Temporal {
  readonly pid: number;
  kill(): Promise<void>;
  /** It stays, and does nothing; until it may again. */
  pause(): void;
  resume(): void;
  /** On the same port and the same database. */
  start(): Promise<void>;
}

/** The `temporal` CLI that `npm test` found. */
export function temporalBinary(): string {
  const binary = process.env['BUZZER_TEST_TEMPORAL'];
  if (binary === undefined) throw new Error('BUZZER_TEST_TEMPORAL is not set: run npm test');
  return binary;
}

/** The servers that `shared-temporal.ts` has started, one for each jest worker. */
export const SHARED_SERVERS = 'BUZZER_TEST_SHARED_SERVERS';

/** A namespace of one's own on the server that the test files of this jest worker share. */
export async function useTemporal(): Promise<Temporal> {
  const servers = JSON.parse(process.env[SHARED_SERVERS] ?? '[]') as Temporal[];
  const shared = servers[workerNumber() % servers.length];
  if (shared === undefined) return await startTemporal();
  const { address, folder } = shared;
  const namespace = `buzzer-${randomBytes(6).toString('hex')}`;
  await prepare(address, namespace);
  return { address, folder, namespace, close: async () => await Promise.resolve() };
}

export async function startTemporal(): Promise<TemporalServer> {
  const folder = await mkdtemp(join(tmpdir(), 'buzzer-temporal-'));
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const namespace = 'buzzer';
  const command = temporalServerCommand({
    binary: temporalBinary(),
    databaseFile: join(folder, 'temporal.db'),
    port,
    uiPort: null,
  });
  const tied = tieToParent(command, process.env['PATH'] ?? '');
  let child: ChildProcess;
  const start = async () => {
    child = spawn(tied.file, tied.args, { stdio: 'ignore' });
    await prepare(address, namespace);
  };
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  };
  await start();
  return {
    address,
    namespace,
    folder,
    get pid() {
      return child.pid ?? 0;
    },
    kill,
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    start,
    async close() {
      await kill();
      await rm(folder, { recursive: true });
    },
  };
}

async function prepare(address: string, namespace: string): Promise<void> {
  const retentionMs = 86_400_000;
  await prepareNamespace({
    connection: { address },
    namespace,
    retentionMs,
    patienceMs: 20_000,
  });
}

/** From 0: the number of this jest worker. */
const workerNumber = (): number => Number(process.env['JEST_WORKER_ID'] ?? '1') - 1;

const PORTS = { from: 20_000, workers: 8, perWorker: 1500 };
/** Ports that this test file has been given; a port is given once, used or not. */
const givenPorts = new Set<number>();

/**
 * Below the range that outgoing connections take theirs from, so that it stays free; and from a range of this
 * jest worker.
 */
export async function freePort(): Promise<number> {
  const from = PORTS.from + (workerNumber() % PORTS.workers) * PORTS.perWorker;
  for (;;) {
    const port = from + Math.floor(Math.random() * PORTS.perWorker);
    if (givenPorts.has(port)) continue;
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    givenPorts.add(port);
    return port;
  }
}
