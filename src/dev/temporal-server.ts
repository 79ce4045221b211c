/* The Temporal dev server of `npm start`: its command, and the namespace and attributes that it must have. */
import { Connection, type ConnectionOptions } from '@temporalio/client';
import { DAY_MS } from '../contract/duration.ts';
import { SEARCH_ATTRIBUTES } from '../contract/search-attributes.ts';
import type { Command } from '../runtime/tied-process.ts';
import { GRPC_NOT_FOUND } from '../temporal/timely-calls.ts';

export interface TemporalServerOptions {
  readonly binary: string;
  /** The SQLite file that holds everything; kept from start to start. */
  readonly databaseFile: string;
  readonly port: number;
  /** Null: no Web UI. */
  readonly uiPort: number | null;
}

/**
 * Without these the server is limited to 20 polls a second of its own queues, which shows as
 * 150 ms for the smallest workflow; one partition suits one machine; fairness is off by default.
 */
const DYNAMIC_CONFIG = [
  'history.transferProcessorMaxPollRPS=2000',
  'history.timerProcessorMaxPollRPS=2000',
  'history.visibilityProcessorMaxPollRPS=2000',
  'matching.numTaskqueueReadPartitions=1',
  'matching.numTaskqueueWritePartitions=1',
  'matching.enableFairness=true',
  'limit.memoSize.warn=65536',
];

/** With WAL and synchronous=NORMAL the database survives kill -9 (not a loss of power). */
const SQLITE_PRAGMAS = ['journal_mode=WAL', 'synchronous=NORMAL'];

export function temporalServerCommand(options: TemporalServerOptions): Command {
  const { binary, databaseFile, port, uiPort } = options;
  const ui = uiPort === null ? ['--headless'] : [`--ui-port=${uiPort}`, '--ui-disable-news-fetch'];
  return {
    file: binary,
    args: [
      'server',
      'start-dev',
      '--ip=127.0.0.1',
      `--port=${port}`,
      `--db-filename=${databaseFile}`,
      '--log-level=error',
      ...ui,
      ...SQLITE_PRAGMAS.flatMap((pragma) => ['--sqlite-pragma', pragma]),
      ...DYNAMIC_CONFIG.flatMap((entry) => ['--dynamic-config-value', entry]),
    ],
  };
}

export interface NamespaceOptions {
  readonly connection: ConnectionOptions;
  readonly namespace: string;
  /** How long ended workflows are kept, if the namespace has to be made. */
  readonly retentionMs: number;
  /** How long to wait for the server. */
  readonly patienceMs: number;
}

/** Waits for the server, then makes the namespace and the search attributes that are missing. */
export async function prepareNamespace(options: NamespaceOptions): Promise<void> {
  const { namespace, patienceMs } = options;
  const connection = Connection.lazy(options.connection);
  const giveUpAtMs = Date.now() + patienceMs;
  try {
    for (;;) {
      try {
        await connection.withDeadline(Date.now() + 5000, async () => {
          await ensureNamespace(connection, namespace, options.retentionMs);
          await ensureSearchAttributes(connection, namespace);
        });
        return;
      } catch (error) {
        if (Date.now() > giveUpAtMs) {
          const { address } = options.connection;
          throw new Error(`the Temporal server at ${address} does not answer`, { cause: error });
        }
        await new Promise((resolve) => {
          setTimeout(resolve, 100);
        });
      }
    }
  } finally {
    await connection.close();
  }
}

async function ensureNamespace(connection: Connection, namespace: string, retentionMs: number) {
  const { workflowService } = connection;
  const isThere = await workflowService.describeNamespace({ namespace }).then(
    () => true,
    (error: { code?: number }) => {
      if (error.code === GRPC_NOT_FOUND) return false;
      throw error;
    },
  );
  if (isThere) return;
  const days = Math.ceil(retentionMs / DAY_MS);
  const retention = { seconds: { low: days * 86_400, high: 0, unsigned: false } };
  await workflowService.registerNamespace({
    namespace,
    description: 'Buzzer: one workflow for each prediction',
    workflowExecutionRetentionPeriod: retention as never,
  });
}

async function ensureSearchAttributes(connection: Connection, namespace: string) {
  const { operatorService } = connection;
  const { customAttributes } = await operatorService.listSearchAttributes({ namespace });
  const missing = Object.values(SEARCH_ATTRIBUTES).filter(
    ({ name }) => !(name in (customAttributes ?? {})),
  );
  if (missing.length === 0) return;
  const searchAttributes = Object.fromEntries(
    missing.map(({ name, type }) => [name, INDEXED_VALUE_TYPES[type]]),
  );
  await operatorService.addSearchAttributes({ namespace, searchAttributes });
}

/** temporal.api.enums.v1.IndexedValueType */
const INDEXED_VALUE_TYPES = { KEYWORD: 2, KEYWORD_LIST: 7 } as const;
