/* What `npm start` runs once everything is built: the whole stack on this machine. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Config, ConfigError, readConfig } from '../config.ts';
import { DAY_MS } from '../contract/duration.ts';
import { createPrinter } from './log-lines.ts';
import { readLayout } from '../models/layout.ts';
import { banner } from './banner.ts';
import { checkDataFolder, checkPorts, LaunchError, lockDataFolder } from './preflight.ts';
import { ManagedProcess } from './processes.ts';
import { findTemporal, TemporalMissingError } from './temporal-binary.ts';
import { prepareNamespace, temporalServerCommand } from './temporal-server.ts';

/** In the order in which they start; they stop in the opposite one. */
const ENTRIES = {
  orchestration: 'workers/orchestration.js',
  inference: 'workers/inference.js',
  api: 'api/server.js',
} as const;
const WORKFLOW_RETENTION_BEYOND_TTL_MS = 7 * DAY_MS;
/** On a developer's own machine, receivers and files may be on the machine itself. */
const LOOPBACK_OVER_HTTP = 'http://127.0.0.0/8,http://[::1]';
const SERVER_PATIENCE_MS = 30_000;
const SAY_WAITING_MS = 1500;
const PARENT_CHECK_MS = 1000;
/** SQLite's message, passed on by Temporal, about a database file that it cannot read. */
const DAMAGED_DATABASE = /database disk image is malformed|file is not a database/i;
/** Within this time a second signal is the same Ctrl-C: the terminal and npm both pass it on. */
const SAME_SIGNAL_MS = 500;
const STOP_MARGIN_MS = 5000; // beyond the grace time that each process grants its work

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
  const { environment, temporal } = config;
  process.umask(0o077); // our files in the data folder are for their owner only
  await checkDataFolder(config.dataDir);
  await checkPorts(config);
  const unlock = await lockDataFolder(config.dataDir);
  const binary = temporal.isExternal ? null : await findTemporal(environment['PATH'] ?? '');
  const isColored = process.stdout.isTTY && environment['NO_COLOR'] === undefined;
  const printer = createPrinter(['temporal', ...Object.keys(ENTRIES)], isColored);
  const running: ManagedProcess[] = [];
  const isUnderNpm = environment['npm_lifecycle_event'] === 'start';
  const patienceMs = config.shutdownGraceMs + STOP_MARGIN_MS;
  const { stopAll, isStopping } = stopper(running, patienceMs, unlock, isUnderNpm);
  const start = (name: string, command: { file: string; args: readonly string[] }) => {
    const print = printer(name);
    const managed = new ManagedProcess({
      command,
      environment: processEnvironment(config, binary !== null),
      saysReady: name in ENTRIES,
      print: (line) => {
        print(line);
        if (name !== 'temporal' || !DAMAGED_DATABASE.test(line) || isStopping()) return;
        console.error(damagedAdvice(config));
        void stopAll(1);
      },
      onFatal: () => void stopAll(1),
    });
    running.push(managed);
    return managed;
  };

  if (binary !== null) start('temporal', serverCommand(binary, config));
  try {
    await prepareServer(config);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    await stopAll(1); // this ends the process
  }
  if (isStopping()) return; // a signal came while the server was starting
  const started = Object.entries(ENTRIES).map(([name, file]) => {
    const path = fileURLToPath(new URL(`../${file}`, import.meta.url));
    return start(name, { file: process.execPath, args: [path] });
  });
  await Promise.all(started.map(async (managed) => await managed.ready));
  const { versions } = await readLayout(config.modelFolders, () => {});
  console.log(
    banner(
      config,
      versions.some(({ ref }) => ref.name === 'ocr'),
    ),
  );
}

/** Waits for the Temporal server, says so, and makes what is missing there. */
async function prepareServer({ temporal, resultTtlMs }: Config): Promise<void> {
  const { connection, namespace } = temporal;
  const saying = setTimeout(() => {
    console.log(`Waiting for the Temporal server at ${connection.address} …`);
  }, SAY_WAITING_MS);
  try {
    await prepareNamespace({
      connection,
      namespace,
      retentionMs: resultTtlMs + WORKFLOW_RETENTION_BEYOND_TTL_MS,
      patienceMs: SERVER_PATIENCE_MS,
    });
  } finally {
    clearTimeout(saying);
  }
}

/** The environment of each process, beside our own. */
function processEnvironment(config: Config, hasOwnServer: boolean) {
  const { environment, temporal, uiUrl, uiPort, isLoopback, keysFile } = config;
  const mayReachLoopback =
    isLoopback && keysFile === null && environment['BUZZER_OUTBOUND_ALLOW'] === undefined;
  return {
    ...environment,
    TEMPORAL_ADDRESS: temporal.connection.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
    ...(uiUrl === undefined && hasOwnServer ? { BUZZER_UI_URL: `http://127.0.0.1:${uiPort}` } : {}),
    ...(mayReachLoopback ? { BUZZER_OUTBOUND_ALLOW: LOOPBACK_OVER_HTTP } : {}),
  };
}

function serverCommand(binary: string, { dataDir, temporalPort, uiPort }: Config) {
  const databaseFile = join(dataDir, 'temporal.db');
  return temporalServerCommand({ binary, databaseFile, port: temporalPort, uiPort });
}

function damagedAdvice({ dataDir }: Config): string {
  const file = join(dataDir, 'temporal.db');
  const advice = `restore it from a backup, or move ${file}* away to begin anew without what was accepted`;
  return `The engine's database ${file} is damaged: ${advice}.`;
}

/** Stops everything on a signal, the process started last first. A second signal stops at once. */
function stopper(
  running: readonly ManagedProcess[],
  patienceMs: number,
  unlock: () => Promise<void>,
  isUnderNpm: boolean,
): { stopAll: (exitCode: number) => Promise<void>; isStopping: () => boolean } {
  let stopping: Promise<void> | null = null;
  let firstAtMs: number | null = null;
  const stop = async (exitCode: number) => {
    for (const managed of running) managed.retire();
    for (const managed of running.toReversed()) await managed.stop(patienceMs);
    await unlock();
    process.exit(exitCode);
  };
  const stopAll = async (exitCode: number) => await (stopping ??= stop(exitCode));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      const nowMs = Date.now();
      if (firstAtMs !== null && nowMs - firstAtMs < SAME_SIGNAL_MS) return;
      firstAtMs ??= nowMs;
      console.log(stopping === null ? 'Stopping; once more stops at once …' : 'Stopping at once.');
      if (stopping !== null) for (const managed of running) managed.kill();
      void stopAll(0);
    });
  }
  if (isUnderNpm) {
    const parent = process.ppid;
    setInterval(() => {
      if (process.ppid !== parent) process.kill(process.pid, 'SIGTERM'); // npm was killed
    }, PARENT_CHECK_MS);
  }
  return { stopAll, isStopping: () => stopping !== null };
}
