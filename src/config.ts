/*
 * Environment → one frozen Config. The only reader of process.env. A wrong value ends the process
 * with one line that names it.
 */
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { DAY_MS } from './contract/duration.ts';
import { editsBetween } from './contract/edit-distance.ts';
import { messageOf } from './contract/failure.ts';
import { DEFAULT_SCHEDULE } from './contract/delivery-schedule.ts';
import {
  bytes,
  duration,
  flag,
  integer,
  optionalBytes,
  optionalInteger,
  origins,
  outboundAllow,
  port,
  schedule,
  secretKeys,
} from './config-values.ts';
import { LOG_LEVELS } from './telemetry/logger.ts';

/** `ended`, which holds the output, has 8 KiB; `accepted`, which holds the input, 24 KiB. */
const MAX_ENGINE_INLINE_LIMIT = 6 * 1024;
const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|::1|localhost)$/;

const INFERENCE_METRICS_PORT = 9092;
const MAX_TYPING_ERRORS = 3;
/** What a tenant may store where there are several. */
const TENANT_BYTES = 10 * 1024 ** 3;

const environmentSchema = z
  .object({
    BUZZER_HOST: z.string().min(1).default('127.0.0.1'),
    BUZZER_PORT: port(8080),
    BUZZER_PUBLIC_URL: z.url({ protocol: /^https?$/, error: 'must be an http(s) URL' }).optional(),
    BUZZER_DATA_DIR: z.string().min(1).default('.buzzer'),
    BUZZER_MODELS: z.string().min(1, 'must name at least one folder').optional(),
    BUZZER_DEVICE: z
      .string()
      .regex(/^(?:cpu|webgpu|cuda:\d{1,2})$/, 'must be cpu, webgpu or cuda:<number>')
      .default('cpu'),
    BUZZER_DEVICE_FALLBACK: z.enum(['none', 'cpu'], 'must be none or cpu').default('none'),
    BUZZER_METRICS_HOST: z.string().min(1).default('127.0.0.1'),
    BUZZER_METRICS_PORT: port(INFERENCE_METRICS_PORT).optional(),
    BUZZER_ALLOW_ANONYMOUS: flag,
    BUZZER_KEYS_FILE: z.string().min(1, 'must name a file').optional(),
    BUZZER_CORS_ORIGINS: origins,
    BUZZER_TENANT_RATE: optionalInteger,
    BUZZER_TENANT_IN_FLIGHT: integer(10_000),
    BUZZER_MODEL_BACKLOG: integer(20_000),
    BUZZER_CACHED_WORKFLOWS: optionalInteger,
    BUZZER_MAX_WAITING: integer(1000),
    BUZZER_MAX_BUFFERED: bytes('256MiB'),
    BUZZER_TENANT_STORAGE: optionalBytes,
    BUZZER_STORAGE_RESERVE: bytes('256MiB'),
    BUZZER_TEMPORAL_PORT: port(7233),
    BUZZER_UI_PORT: port(8233),
    BUZZER_UI_URL: z.url({ protocol: /^https?$/, error: 'must be an http(s) URL' }).optional(),
    BUZZER_DEADLINE: duration('24h'),
    BUZZER_QUEUE_TTL: duration('24h').optional(),
    BUZZER_HEARTBEAT_TIMEOUT: duration('5s'),
    BUZZER_RESULT_TTL: duration('96h'),
    BUZZER_SHUTDOWN_GRACE: duration('30s', DAY_MS),
    BUZZER_ENGINE_INLINE_LIMIT: bytes('2KiB').refine(
      (limit) => limit <= MAX_ENGINE_INLINE_LIMIT,
      'must be at most 6KiB: more does not fit into a memo',
    ),
    BUZZER_RESPONSE_INLINE_LIMIT: bytes('1MiB'),
    BUZZER_MAX_JSON: bytes('10MiB'),
    BUZZER_MAX_UPLOAD: bytes('100MiB'),
    BUZZER_MAX_OUTPUT: bytes('64MiB'),
    BUZZER_MAX_PIXELS: integer(100_000_000),
    BUZZER_OUTBOUND_ALLOW: outboundAllow,
    BUZZER_SECRET_KEY: secretKeys,
    BUZZER_WEBHOOK_SCHEDULE: schedule(DEFAULT_SCHEDULE),
    BUZZER_LOG_LEVEL: z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`).default('info'),
  })
  .superRefine((env, context) => {
    const hasKeys = env.BUZZER_KEYS_FILE !== undefined;
    if (hasKeys && env.BUZZER_ALLOW_ANONYMOUS) {
      context.addIssue({
        code: 'custom',
        path: ['BUZZER_ALLOW_ANONYMOUS'],
        message: 'contradicts BUZZER_KEYS_FILE: unset one of them',
      });
    }
    if (!LOOPBACK.test(env.BUZZER_HOST) && !hasKeys && !env.BUZZER_ALLOW_ANONYMOUS) {
      context.addIssue({
        code: 'custom',
        path: ['BUZZER_HOST'],
        message:
          `${env.BUZZER_HOST} is not a loopback address, and there are no API keys: anybody who ` +
          'reaches it could use it. Set BUZZER_KEYS_FILE (npm run keys makes it), or ' +
          'BUZZER_ALLOW_ANONYMOUS=true if that is what you want',
      });
    }
    if (!LOOPBACK.test(env.BUZZER_HOST) && env.BUZZER_SECRET_KEY.length === 0) {
      context.addIssue({
        code: 'custom',
        path: ['BUZZER_SECRET_KEY'],
        message:
          'is needed when BUZZER_HOST is not a loopback address: the same for the API and the ' +
          'orchestration workers, such as `openssl rand -base64 32` prints',
      });
    }
  });

/** What no log may show. */
const SECRET_SETTINGS: readonly string[] = ['BUZZER_SECRET_KEY'];

/** An environment value that cannot be used; the message is one line that names it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export type Config = ReturnType<typeof readConfig>;

/** Reads the environment; throws `ConfigError`. Paths come back absolute. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env) {
  const env = parseEnvironment(environment);
  const isLoopback = LOOPBACK.test(env.BUZZER_HOST);
  const dataDir = resolve(env.BUZZER_DATA_DIR);
  const urlHost = env.BUZZER_HOST.includes(':') ? `[${env.BUZZER_HOST}]` : env.BUZZER_HOST;
  return Object.freeze({
    host: env.BUZZER_HOST,
    /** Only this machine can reach the API. */
    isLoopback,
    port: env.BUZZER_PORT,
    publicUrl: (env.BUZZER_PUBLIC_URL ?? `http://${urlHost}:${env.BUZZER_PORT}`).replace(
      /\/+$/,
      '',
    ),
    /** Null: there are no keys, and everybody who reaches the API is the same tenant. */
    keysFile: env.BUZZER_KEYS_FILE === undefined ? null : resolve(env.BUZZER_KEYS_FILE),
    corsOrigins: env.BUZZER_CORS_ORIGINS,
    quotas: {
      /** Predictions that a tenant may submit within a minute; null: as many as it likes. */
      perMinute: env.BUZZER_TENANT_RATE ?? null,
      /** Predictions of a tenant that have not ended. */
      inFlight: env.BUZZER_TENANT_IN_FLIGHT,
      /** Predictions of a model version that have not ended. */
      backlog: env.BUZZER_MODEL_BACKLOG,
    },
    /** Workflows that an orchestration worker keeps; null: by the machine's memory. */
    cachedWorkflows: env.BUZZER_CACHED_WORKFLOWS ?? null,
    /** Requests that wait for the end of a prediction, and event streams. */
    maxWaiting: env.BUZZER_MAX_WAITING,
    storage: storageLimits(env),
    /** Bytes of JSON and tensors that requests may hold in memory together. */
    maxBufferedBytes: env.BUZZER_MAX_BUFFERED,
    dataDir,
    payloadDir: join(dataDir, 'payloads'),
    modelFolders: (env.BUZZER_MODELS ?? (isLoopback ? 'models,examples/models' : 'models'))
      .split(',')
      .map((folder) => (isAbsolute(folder) ? folder : resolve(folder))),
    device: env.BUZZER_DEVICE,
    allowsDeviceFallback: env.BUZZER_DEVICE_FALLBACK === 'cpu',
    inferenceMetrics: {
      host: env.BUZZER_METRICS_HOST,
      port: env.BUZZER_METRICS_PORT ?? INFERENCE_METRICS_PORT,
      isPortFixed: environment['BUZZER_METRICS_PORT'] !== undefined,
    },
    temporalPort: env.BUZZER_TEMPORAL_PORT,
    uiPort: env.BUZZER_UI_PORT,
    /** Where people reach Temporal's Web UI; null: the log does not link to it. */
    uiUrl: env.BUZZER_UI_URL?.replace(/\/+$/, '') ?? null,
    deadlineMs: env.BUZZER_DEADLINE,
    queueTtlMs: env.BUZZER_QUEUE_TTL ?? env.BUZZER_DEADLINE,
    heartbeatTimeoutMs: env.BUZZER_HEARTBEAT_TIMEOUT,
    resultTtlMs: env.BUZZER_RESULT_TTL,
    shutdownGraceMs: env.BUZZER_SHUTDOWN_GRACE,
    engineInlineLimit: env.BUZZER_ENGINE_INLINE_LIMIT,
    responseInlineLimit: env.BUZZER_RESPONSE_INLINE_LIMIT,
    maxJsonBytes: env.BUZZER_MAX_JSON,
    maxUploadBytes: env.BUZZER_MAX_UPLOAD,
    maxOutputBytes: env.BUZZER_MAX_OUTPUT,
    maxPixels: env.BUZZER_MAX_PIXELS,
    addressPolicy: env.BUZZER_OUTBOUND_ALLOW,
    secretKeys: env.BUZZER_SECRET_KEY,
    webhookScheduleMs: env.BUZZER_WEBHOOK_SCHEDULE,
    logLevel: env.BUZZER_LOG_LEVEL,
    temporal: readTemporal(environment, env.BUZZER_TEMPORAL_PORT),
    environment,
  });
}

/** A name that is hardly another is a typing error. */
function unknownSetting(name: string): string {
  const known = Object.keys(environmentSchema.shape).map(
    (each) => [each, editsBetween(name, each)] as const,
  );
  const [nearest, distance] = known.reduce((best, each) => (each[1] < best[1] ? each : best));
  const advice =
    distance <= MAX_TYPING_ERRORS ? `did you mean ${nearest}?` : 'docs/configuration.md lists them';
  return `${name}: no such setting; ${advice}`;
}

/** What inputs may take of the payload store. */
const storageLimits = (env: Environment) => ({
  /** Of the payloads of one tenant's predictions; null: no limit. */
  tenantBytes:
    env.BUZZER_TENANT_STORAGE ?? (env.BUZZER_KEYS_FILE === undefined ? null : TENANT_BYTES),
  /** Free disk that inputs do not take: the engine's database and outputs need it. */
  reserveBytes: env.BUZZER_STORAGE_RESERVE,
});

type Environment = z.infer<typeof environmentSchema>;

function parseEnvironment(environment: NodeJS.ProcessEnv) {
  const unknown = Object.keys(environment).filter(
    (name) => name.startsWith('BUZZER_') && !(name in environmentSchema.shape),
  );
  if (unknown.length > 0) throw new ConfigError(unknown.map(unknownSetting).join('; '));
  const parsed = environmentSchema.safeParse(environment);
  if (!parsed.success) {
    throw new ConfigError(
      parsed.error.issues
        .map((issue) => {
          const name = issue.path.join('.');
          if (SECRET_SETTINGS.includes(name)) return `${name}: ${issue.message}`;
          return `${name}=${environment[name] ?? ''}: ${issue.message}`;
        })
        .join('; '),
    );
  }
  return parsed.data;
}

/** Temporal's standard environment (TEMPORAL_*), with our two defaults. */
function readTemporal(environment: NodeJS.ProcessEnv, devServerPort: number) {
  try {
    const { namespace, connectionOptions } = loadClientConnectConfig({
      overrideEnvVars: Object.fromEntries(
        Object.entries(environment).filter(
          (entry): entry is [string, string] => entry[1] !== undefined,
        ),
      ),
    });
    return {
      /** False: `npm start` brings its own server. */
      isExternal: connectionOptions.address !== undefined,
      namespace: namespace ?? 'buzzer',
      connection: {
        ...connectionOptions,
        address: connectionOptions.address ?? `127.0.0.1:${devServerPort}`,
      },
    };
  } catch (error) {
    throw new ConfigError(`TEMPORAL_*: ${messageOf(error)}`);
  }
}
