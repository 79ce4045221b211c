/* A real Temporal dev server on a free port, with the flags of `npm start`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareNamespace, temporalServerCommand } from '../../src/dev/temporal-server.ts';
import { tieToParent } from '../../src/runtime/tied-process.ts';

export const NAMESPACE = 'buzzer';

export interface TemporalServer {
  readonly address: string;
  readonly pid: number;
  /** Where its database lies. */
  readonly folder: string;
  kill(): Promise<void>;
  /** It stays, and does nothing; until it may again. */
  pause(): void;
  resume(): void;
  /** On the same port and the same database. */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** The `temporal` CLI that `npm test` found. */
export function temporalBinary(): string {
  const binary = process.env['BUZZER_TEST_TEMPORAL'];
  if (binary === undefined) throw new Error('BUZZER_TEST_TEMPORAL is not set: run npm test');
  return binary;
}

export async function startTemporal(): Promise<TemporalServer> {
  const folder = await mkdtemp(join(tmpdir(), 'buzzer-temporal-'));
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
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
    const retentionMs = 86_400_000;
    const connection = { address };
    await prepareNamespace({ connection, namespace: NAMESPACE, retentionMs, patienceMs: 20_000 });
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

/** Ports that this test file has been given; a port is given once, used or not. */
const givenPorts = new Set<number>();

/** Below the range that outgoing connections take theirs from, so that it stays free. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
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
