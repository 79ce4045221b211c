/* Both kinds of worker: connect, create, run, close. */
import {
  DefaultLogger,
  type LogEntry,
  NativeConnection,
  type NativeConnectionOptions,
  Runtime,
  type Worker,
} from '@temporalio/worker';
import { type Config, ConfigError, readConfig } from '../config.ts';
import { EXIT_CONFIG } from '../contract/exit-status.ts';
import { StorageError } from '../storage/payload-store.ts';
import { createLogger, type Logger } from '../telemetry/logger.ts';
import { SecretBoxError } from '../secrets/secret-box.ts';

/** Warnings of the SDK that are normal here: predictions may fail, and receivers may be slow. */
const EXPECTED_WARNING =
  /^No (?:workflows|activities) registered|^Workflow failed|Workflow task duration exceeded/;
const CONNECT_PATIENCE_MS = 60_000;
const CONNECT_RETRY_MS = 250;
const SAY_WAITING_MS = 1500;
const SAY_WAITING_EVERY_MS = 10_000;

/** A person must change something before this process can work. The message is one line. */
export class SetupError extends Error {
  override readonly name = 'SetupError';
}

export interface WorkerContext {
  readonly config: Config;
  readonly logger: Logger;
  /** `<kind>-<host>-<pid>`. */
  readonly identity: string;
  readonly connection: NativeConnection;
  /** Aborted by SIGTERM and SIGINT. */
  readonly stop: AbortSignal;
  /** Tells the parent process that we take work. */
  readonly ready: () => void;
}

/** Runs a worker process from its environment to its exit status. */
export async function runWorkerProcess(
  kind: string,
  hostname: string,
  work: (context: WorkerContext) => Promise<void>,
): Promise<void> {
  let logger = createLogger(kind, 'info');
  process.umask(0o077); // our files in the data folder are for their owner only
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      logger.info({ signal }, 'shutting down');
      stop.abort();
    });
  }
  process.once('disconnect', () => process.exit(1)); // the parent process is gone
  try {
    const config = readConfig();
    logger = createLogger(kind, config.logLevel);
    installRuntime(logger);
    const connection = await connect(config, logger, stop.signal);
    const identity = `${kind}-${hostname}-${process.pid}`;
    const ready = () => {
      logger.info({ identity }, 'ready');
      process.send?.({ type: 'ready' });
    };
    await work({ config, logger, identity, connection, stop: stop.signal, ready });
    await connection.close();
    process.exit(0);
  } catch (error) {
    process.exit(stop.signal.aborted ? 0 : reportFatal(error, logger)); // a signal came while starting
  }
}

/** Runs workers until `stop`; resolves when what they ran has ended or its grace time has passed. */
export async function runUntilStopped(
  workers: readonly Worker[],
  { stop, ready }: WorkerContext,
): Promise<void> {
  if (stop.aborted) return; // asked to stop while still starting
  const running = Promise.all(workers.map(async (worker) => await worker.run()));
  stop.addEventListener('abort', () => workers.forEach((worker) => worker.shutdown()), {
    once: true,
  });
  ready();
  await running;
}

function reportFatal(error: unknown, logger: Logger): number {
  if (stopsForGood(error)) {
    logger.fatal(error.message);
    return EXIT_CONFIG;
  }
  logger.fatal({ err: error }, 'the worker failed');
  return 1;
}

const stopsForGood = (error: unknown): error is Error =>
  error instanceof ConfigError ||
  error instanceof SetupError ||
  error instanceof SecretBoxError ||
  (error instanceof StorageError && error.needsPerson);

function installRuntime(logger: Logger): void {
  const write = ({ level, message, meta }: LogEntry) => {
    if (EXPECTED_WARNING.test(message)) return;
    const { taskToken: _secret, sdkComponent: _noise, ...fields } = meta ?? {};
    const name = level.toLowerCase() as Lowercase<LogEntry['level']>;
    logger[name === 'warn' ? 'warn' : name](fields, message);
  };
  const logging = { filter: { core: 'WARN', other: 'ERROR' }, forward: {} } as const;
  Runtime.install({
    logger: new DefaultLogger('WARN', write),
    telemetryOptions: { logging },
    shutdownSignals: [],
  });
}

/** Waits for a server that is not there yet, and logs that: everything may be starting at once. */
async function connect(config: Config, logger: Logger, stop: AbortSignal) {
  const { connection, namespace } = config.temporal;
  const options = connection as NativeConnectionOptions;
  const wanted = `a Temporal server with namespace ${namespace} at ${options.address}`;
  const sinceMs = Date.now();
  let saidAtMs = sinceMs + SAY_WAITING_MS - SAY_WAITING_EVERY_MS;
  for (;;) {
    let native: NativeConnection | undefined;
    const saying = setTimeout(
      () => {
        logger.info(`waiting for ${wanted} (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE)`);
        saidAtMs = Date.now();
      },
      Math.max(0, saidAtMs + SAY_WAITING_EVERY_MS - Date.now()),
    );
    try {
      native = await NativeConnection.connect(options);
      await native.workflowService.describeNamespace({ namespace });
      return native;
    } catch (error) {
      await native?.close();
      stop.throwIfAborted();
      if (Date.now() - sinceMs > CONNECT_PATIENCE_MS) {
        throw new Error(`there is no ${wanted.slice(2)}`, { cause: error });
      }
      logger.debug({ err: error }, 'no Temporal server yet');
      await new Promise((resolve) => {
        setTimeout(resolve, CONNECT_RETRY_MS);
      });
    } finally {
      clearTimeout(saying);
    }
  }
}
