/* The api process: config → dependencies → listen → graceful shutdown. */
import { readFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { hostname } from 'node:os';
import { KeysFileError } from '../access/keys-file.ts';
import { KnownKeys } from '../access/known-keys.ts';
import { type Config, ConfigError, readConfig } from '../config.ts';
import { messageOf } from '../contract/failure.ts';
import { EXIT_CONFIG } from '../contract/exit-status.ts';
import { Files } from '../files/files.ts';
import { ModelRepository } from '../models/repository.ts';
import { openPayloadStore } from '../storage/open-payload-store.ts';
import { LimitedPayloadStore } from '../storage/limited-payload-store.ts';
import { StorageError } from '../storage/payload-store.ts';
import { createLogger, type Logger } from '../telemetry/logger.ts';
import { createClient } from '../temporal/client.ts';
import { Engine } from '../temporal/engine.ts';
import { DeliveryEngine } from '../temporal/delivery-engine.ts';
import { BatchEngine } from '../temporal/batch-engine.ts';
import { PredictionEngine } from '../temporal/prediction-engine.ts';
import { WebhookEndpoints } from '../webhooks/endpoints.ts';
import { openSecretBox, SecretBoxError } from '../secrets/secret-box.ts';
import { SigningSecrets } from '../webhooks/secrets.ts';
import { createApp } from './app.ts';
import { limitConnections } from './http/connection-limit.ts';
import { answerClientErrors } from './http/client-errors.ts';

/** Longer than load balancers keep an idle connection: the one that closes it must not be us. */
const KEEP_ALIVE_MS = 75_000;

/** A connection on which nothing moves for so long is cut: the longest wait is a minute. */
const SILENCE_MS = 120_000;
const CLOSE_IDLE_EVERY_MS = 50;

process.umask(0o077); // what we put into the data folder is for its owner
let logger = createLogger('api', 'info');
process.once('disconnect', () => process.exit(1)); // whoever started us over IPC is gone
try {
  await serve();
} catch (error) {
  const isSetup =
    error instanceof ConfigError ||
    error instanceof KeysFileError ||
    error instanceof SecretBoxError ||
    (error instanceof StorageError && error.needsPerson);
  if (isSetup || isAddressError(error)) {
    logger.fatal(isAddressError(error) ? addressAdvice(error) : error.message);
    process.exit(EXIT_CONFIG);
  }
  logger.fatal({ err: error }, 'the api failed');
  process.exit(1);
}

async function serve(): Promise<void> {
  const config = readConfig();
  logger = createLogger('api', config.logLevel);
  const repository = await ModelRepository.open(config.modelFolders);
  const files = await openPayloadStore(config.payloadPlace, config.encryptionKeys);
  const store = new LimitedPayloadStore(files, config.storage);
  const client = createClient({ ...config.temporal, identity: `api-${hostname()}-${process.pid}` });
  const engine = new Engine(client);
  repository.watch(() => logger.info({ models: repository.all().length }, 'the models changed'));
  const objects = { store, box: await openSecretBox(config.secretKeys, config.dataDir) };
  const keys = config.keysFile === null ? null : await KnownKeys.open(config.keysFile, logger);
  const stop = new AbortController();
  const app = createApp({
    stop: stop.signal,
    keys,
    workflowUrl:
      config.uiUrl === undefined
        ? null
        : (id) => `${config.uiUrl}/namespaces/${config.temporal.namespace}/workflows/${id}`,
    isLoopback: config.isLoopback,
    corsOrigins: config.corsOrigins,
    engine,
    predictions: new PredictionEngine(engine),
    batches: new BatchEngine(engine),
    deliveryEngine: new DeliveryEngine(engine),
    endpoints: new WebhookEndpoints(objects),
    secrets: new SigningSecrets(objects),
    box: objects.box,
    addressPolicy: config.addressPolicy,
    webhookScheduleMs: config.webhookScheduleMs,
    store,
    files: new Files(store),
    repository,
    logger,
    publicUrl: config.publicUrl,
    softwareVersion: await readSoftwareVersion(),
    maxJsonBytes: config.maxJsonBytes,
    maxBufferedBytes: config.maxBufferedBytes,
    maxWaiting: config.maxWaiting,
    quotas: quotasOf(config),
    responseInlineLimit: config.responseInlineLimit,
    limits: limitsOf(config),
  });
  const server = createServer(app);
  answerExpectations(server);
  const idle = idleConnections(server);
  await listen(server, config, logger);
  logger.info({ url: config.publicUrl, models: repository.all().length }, 'listening');
  process.send?.({ type: 'ready' });
  void sayIfAlone(engine, config.temporal.connection.address);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      logger.info({ signal }, 'shutting down');
      stop.abort();
      void close(server, idle, config.shutdownGraceMs, logger)
        .then(async () => await client.connection.close())
        .then(() => process.exit(0));
    });
  }
}

/**
 * A client that expects `100 Continue` gets it when its request is let in (`http/access.ts`). Any other expectation is
 * ignored.
 */
function answerExpectations(server: Server): void {
  const serve: RequestListener = (request, response) => server.emit('request', request, response);
  server.on('checkContinue', serve).on('checkExpectation', serve);
}

/** Says once what is missing: the API itself can do without for a while. */
async function sayIfAlone(engine: Engine, address: string): Promise<void> {
  await engine.check().catch((error: unknown) => {
    const what = `no Temporal server answers at ${address} (TEMPORAL_ADDRESS): requests are 503 until one does`;
    logger.warn({ reason: messageOf(error) }, what);
  });
}

function quotasOf(config: Config) {
  return {
    perMinute: config.tenantRate ?? null,
    inFlight: config.tenantInFlight,
    batches: config.tenantBatches,
    backlog: config.modelBacklog,
  };
}

function limitsOf(config: Config) {
  return {
    maxUploadBytes: config.maxUploadBytes,
    maxPixels: config.maxPixels,
    maxJsonBytes: config.maxJsonBytes,
    maxFileBytes: config.maxFileBytes,
    maxBatchItems: config.maxBatchItems,
    fileTtlMs: config.fileTtlMs,
    engineInlineLimit: config.engineInlineLimit,
    deadlineMs: config.deadlineMs,
    queueTtlMs: config.queueTtlMs,
    resultTtlMs: config.resultTtlMs,
    heartbeatTimeoutMs: config.heartbeatTimeoutMs,
  };
}

async function listen(server: Server, { host, port }: Config, log: Logger): Promise<void> {
  answerClientErrors(server);
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.timeout = SILENCE_MS;
  server.requestTimeout = 0; // a large file may take hours; bodies that come too slowly are cut (`http/slow-bodies.ts`)
  limitConnections(server, log);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve);
  });
}

async function readSoftwareVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** The connections on which nothing is being answered, at each moment. */
function idleConnections(server: Server): ReadonlySet<Socket> {
  const idle = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    idle.add(socket);
    socket.once('close', () => idle.delete(socket));
  });
  server.on('request', ({ socket }, response) => {
    idle.delete(socket);
    response.once('close', () => {
      if (!socket.destroyed) idle.add(socket);
    });
  });
  return idle;
}

/** Takes no new connection, lets answers finish, and cuts what is left after the grace time. */
async function close(
  server: Server,
  idle: ReadonlySet<Socket>,
  graceMs: number,
  log: Logger,
): Promise<void> {
  const closed = new Promise((resolve) => {
    server.close(resolve);
  });
  // Also those whose answer ends later; Node itself leaves out what has never asked anything.
  const closingIdle = setInterval(() => {
    for (const socket of idle) socket.destroySoon();
  }, CLOSE_IDLE_EVERY_MS);
  const timer = setTimeout(() => {
    log.warn('cutting connections that did not end in time');
    server.closeAllConnections();
  }, graceMs);
  await closed;
  clearInterval(closingIdle);
  clearTimeout(timer);
}

type AddressError = NodeJS.ErrnoException & { port?: number };

function isAddressError(error: unknown): error is AddressError {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return ['EADDRINUSE', 'EACCES', 'EADDRNOTAVAIL'].includes(code);
}

function addressAdvice({ message }: AddressError): string {
  return `cannot listen: ${message}. Set BUZZER_HOST and BUZZER_PORT to an address that is free`;
}
