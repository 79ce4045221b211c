/* What `npm start` runs once everything is built: the whole stack on this machine. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Config, ConfigError, readConfig } from '../config.ts';
import { DAY_MS } from '../contract/duration.ts';
import { createPrinter } from './log-lines.ts';
import { checkPorts, LaunchError, lockDataFolder } from './preflight.ts';
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
/** On a machine of one's own, receivers and files may be on it too. */
const LOOPBACK_OVER_HTTP = 'http://127.0.0.0/8,http://[::1]';
const SERVER_PATIENCE_MS = 30_000;
const PARENT_CHECK_MS = 1000;
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
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw new LaunchError(`BUZZER_DATA_DIR=${config.dataDir} cannot be made: ${String(error)}`);
  });
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
    const managed = new ManagedProcess({
      command,
      environment: {
        ...environment,
        TEMPORAL_ADDRESS: temporal.connection.address,
        TEMPORAL_NAMESPACE: temporal.namespace,
        ...(config.uiUrl === null && binary !== null
          ? { BUZZER_UI_URL: `http://127.0.0.1:${config.uiPort}` }
          : {}),
        ...(config.isLoopback &&
        config.keysFile === null &&
        environment['BUZZER_OUTBOUND_ALLOW'] === undefined
          ? { BUZZER_OUTBOUND_ALLOW: LOOPBACK_OVER_HTTP }
          : {}),
      },
      saysReady: name in ENTRIES,
      print: printer(name),
      onFatal: () => void stopAll(1),
    });
    running.push(managed);
    return managed;
  };

  if (binary !== null) start('temporal', serverCommand(binary, config));
  try {
    await prepareNamespace({
      connection: temporal.connection,
      namespace: temporal.namespace,
      retentionMs: config.resultTtlMs + WORKFLOW_RETENTION_BEYOND_TTL_MS,
      patienceMs: SERVER_PATIENCE_MS,
    });
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    await stopAll(1); // which ends this process
  }
  if (isStopping()) return; // asked to stop while the server was starting
  const started = Object.entries(ENTRIES).map(([name, file]) => {
    const path = fileURLToPath(new URL(`../${file}`, import.meta.url));
    return start(name, { file: process.execPath, args: [path] });
  });
  await Promise.all(started.map(async (managed) => await managed.ready));
  console.log(banner(config));
}

function serverCommand(binary: string, { dataDir, temporalPort, uiPort }: Config) {
  const databaseFile = join(dataDir, 'temporal.db');
  return temporalServerCommand({ binary, databaseFile, port: temporalPort, uiPort });
}

/** Stops everything in order, last started first; asked again, at once. Listens to signals. */
function stopper(
  running: readonly ManagedProcess[],
  patienceMs: number,
  unlock: () => Promise<void>,
  isUnderNpm: boolean,
): { stopAll: (exitCode: number) => Promise<void>; isStopping: () => boolean } {
  let stopping: Promise<void> | null = null;
  const stop = async (exitCode: number) => {
    for (const managed of running) managed.retire();
    for (const managed of running.toReversed()) await managed.stop(patienceMs);
    await unlock();
    process.exit(exitCode);
  };
  const stopAll = async (exitCode: number) => await (stopping ??= stop(exitCode));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
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

function banner({ publicUrl, temporal, uiPort }: Config): string {
  const ui = temporal.isExternal
    ? `the one of ${temporal.connection.address}`
    : `http://127.0.0.1:${uiPort}/namespaces/${temporal.namespace}/workflows`;
  return `
Buzzer is ready.

  API              ${publicUrl}/v1
  Temporal Web UI  ${ui}

Read a page:

  curl -s ${publicUrl}/v1/models/ocr/predictions -H 'Prefer: wait' -H 'Content-Type: image/png' --data-binary @examples/page.png

Webhooks are signed with this secret:  curl -s ${publicUrl}/v1/webhook_secret

Ctrl-C stops it. What was accepted is kept, and goes on at the next start.
`;
}
