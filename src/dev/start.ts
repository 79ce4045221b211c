/* What `npm start` runs once everything is built: the whole stack on this machine. */
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Config, ConfigError, readConfig } from '../config.ts';
import { createPrinter } from './log-lines.ts';
import { type ManagedProcess, startProcess } from './processes.ts';
import { findTemporal, TemporalMissingError } from './temporal-binary.ts';
import { prepareNamespace, temporalServerCommand } from './temporal-server.ts';

const NAMES = ['temporal', 'orchestration', 'inference', 'api'] as const;
const WORKFLOW_RETENTION_BEYOND_TTL_MS = 7 * 86_400_000;
const SERVER_PATIENCE_MS = 30_000;
const STOP_MARGIN_MS = 5000; // beyond the grace time that each process grants its work

/** Something that a person has to change first; the message says what. */
class LaunchError extends Error {
  override readonly name = 'LaunchError';
}

try {
  await launch(readConfig());
} catch (error) {
  const isExpected =
    error instanceof LaunchError ||
    error instanceof ConfigError ||
    error instanceof TemporalMissingError;
  console.error(isExpected ? error.message : error);
  process.exit(1);
}

async function launch(config: Config): Promise<void> {
  await mkdir(config.dataDir, { recursive: true });
  await checkPorts(config);
  const unlock = await lockDataFolder(config.dataDir);
  const isColored = process.stdout.isTTY && config.environment['NO_COLOR'] === undefined;
  const printer = createPrinter(NAMES, isColored);
  const running: ManagedProcess[] = [];
  let isStopping = false;

  const stopAll = async (exitCode: number) => {
    if (isStopping) {
      for (const managed of running) managed.kill(); // asked twice: no more patience
      return;
    }
    isStopping = true;
    for (const managed of running.toReversed()) {
      await managed.stop(config.shutdownGraceMs + STOP_MARGIN_MS);
    }
    await unlock();
    process.exit(exitCode);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      const again = isStopping ? 'at once' : 'in order; once more stops at once';
      console.log(`\nStopping ${again} …`);
      void stopAll(0);
    });
  }
  const start = (name: (typeof NAMES)[number], command: { file: string; args: string[] }) => {
    const managed = startProcess({
      name,
      command,
      environment: childEnvironment(config),
      saysReady: name !== 'temporal',
      print: printer(name),
      onFatal: () => void stopAll(1),
    });
    running.push(managed);
    return managed;
  };

  if (!config.temporal.isExternal) {
    const { file, args } = temporalServerCommand({
      binary: await findTemporal(config.environment['PATH'] ?? ''),
      databaseFile: join(config.dataDir, 'temporal.db'),
      port: config.temporalPort,
      uiPort: config.uiPort,
    });
    start('temporal', { file, args: [...args] });
  }
  await prepareNamespace({
    connection: config.temporal.connection,
    namespace: config.temporal.namespace,
    retentionMs: config.resultTtlMs + WORKFLOW_RETENTION_BEYOND_TTL_MS,
    patienceMs: SERVER_PATIENCE_MS,
  }).catch(async (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    await stopAll(1);
  });
  const entries = [
    ['orchestration', 'workers/orchestration.js'],
    ['inference', 'workers/inference.js'],
    ['api', 'api/server.js'],
  ] as const;
  const started = entries.map(([name, file]) => {
    const path = fileURLToPath(new URL(`../${file}`, import.meta.url));
    return start(name, { file: process.execPath, args: [path] });
  });
  await Promise.all(started.map(async (managed) => await managed.ready));
  console.log(banner(config));
}

function childEnvironment(config: Config): Record<string, string | undefined> {
  return {
    ...config.environment,
    TEMPORAL_ADDRESS: config.temporal.connection.address,
    TEMPORAL_NAMESPACE: config.temporal.namespace,
  };
}

function banner(config: Config): string {
  const ui = config.temporal.isExternal
    ? `of the server at ${config.temporal.connection.address}`
    : `http://127.0.0.1:${config.uiPort}/namespaces/${config.temporal.namespace}/workflows`;
  return `
Buzzer is ready.

  API              ${config.publicUrl}/v1
  Temporal Web UI  ${ui}

Read a page:

  curl -s ${config.publicUrl}/v1/models/ocr/predictions -H 'Prefer: wait' -H 'Content-Type: image/png' --data-binary @examples/page.png

Ctrl-C stops it. What was accepted is kept, and goes on at the next start.
`;
}

/** Says which port is taken and how to choose another, before anything is started. */
async function checkPorts(config: Config): Promise<void> {
  const wanted: [setting: string, what: string, host: string, port: number][] = [
    ['BUZZER_PORT', 'the API', config.host, config.port],
  ];
  if (!config.temporal.isExternal) {
    wanted.push(
      ['BUZZER_TEMPORAL_PORT', 'the Temporal server', '127.0.0.1', config.temporalPort],
      ['BUZZER_UI_PORT', 'the Temporal Web UI', '127.0.0.1', config.uiPort],
    );
  }
  for (const [setting, what, host, port] of wanted) {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const isTaken = error.code === 'EADDRINUSE';
        const problem = isTaken ? 'is in use' : `cannot be used (${error.code})`;
        const advice = `choose another with ${setting}=<port>`;
        reject(new LaunchError(`Port ${port} of ${host}, for ${what}, ${problem}: ${advice}.`));
      });
      server.listen(port, host, resolve);
    });
    await new Promise((resolve) => {
      server.close(resolve);
    });
  }
}

/** Two servers on one database would destroy it. Returns what gives the folder free again. */
async function lockDataFolder(dataDir: string): Promise<() => Promise<void>> {
  const path = join(dataDir, 'launcher.pid');
  const holder = Number(await readFile(path, 'utf8').catch(() => '0'));
  if (holder > 0 && holder !== process.pid && (await isLauncher(holder))) {
    const advice = 'stop it, or set BUZZER_DATA_DIR to another folder';
    throw new LaunchError(`npm start (process ${holder}) is using ${dataDir}: ${advice}.`);
  }
  const file = await open(path, 'w');
  await file.writeFile(String(process.pid));
  await file.close();
  return async () => await rm(path, { force: true });
}

/** A process of that number may be a stranger: after a crash, numbers are used again. */
async function isLauncher(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== 'linux') return true;
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes('start.js');
}
