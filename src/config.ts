/*
 * Environment → one frozen Config. The only reader of process.env. A wrong value ends the process
 * with one line that names it.
 */
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { DAY_MS } from './contract/duration.ts';
import { editsBetween } from './contract/edit-distance.ts';
import { messageOf } from './contract/failure.ts';
import { DEFAULT_SCHEDULE } from './contract/delivery-schedule.ts';
import {
  absolute,
  bytes,
  device,
  duration,
  flag,
  integer,
  oneOf,
  optionalBytes,
  optionalDuration,
  optionalFlag,
  optionalInteger,
  optionalPort,
  optionalUrl,
  origins,
  outboundAllow,
  path,
  payloadStore,
  port,
  schedule,
  secretKeys,
} from './config-values.ts';
import type { PayloadPlace } from './storage/open-payload-store.ts';
import { LOG_LEVELS } from './telemetry/logger.ts';

/** `ended`, which holds the output, has 8 KiB; `accepted`, which holds the input, 24 KiB. */
const MAX_ENGINE_INLINE_LIMIT = 6 * 1024;
const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|::1|localhost)$/;

const INFERENCE_METRICS_PORT = 9092;
const MAX_TYPING_ERRORS = 3;
/** How much a tenant may store where there are several. */
const TENANT_BYTES = 10 * 1024 ** 3;

interface Setting<T extends z.ZodType> {
  /** In the environment. */
  readonly name: string;
  readonly schema: T;
}

const setting = <T extends z.ZodType>(name: string, schema: T): Setting<T> => ({ name, schema });

/** Every setting, one line each: its name in the code, its name in the environment, and its kind of value. */
const SETTINGS = {
  host: setting('BUZZER_HOST', z.string().min(1).default('127.0.0.1')),
  port: setting('BUZZER_PORT', port(8080)),
  givenPublicUrl: setting('BUZZER_PUBLIC_URL', optionalUrl),
  dataDir: setting('BUZZER_DATA_DIR', path('a folder').default('.buzzer').transform(absolute)),
  models: setting('BUZZER_MODELS', path('at least one folder').optional()),
  device: setting('BUZZER_DEVICE', device.default('cpu')),
  deviceFallback: setting('BUZZER_DEVICE_FALLBACK', oneOf(['none', 'cpu']).default('none')),
  metricsHost: setting('BUZZER_METRICS_HOST', z.string().min(1).default('127.0.0.1')),
  givenMetricsPort: setting('BUZZER_METRICS_PORT', optionalPort),
  allowsAnonymous: setting('BUZZER_ALLOW_ANONYMOUS', flag),
  keysFile: setting('BUZZER_KEYS_FILE', path('a file').transform(absolute).optional()),
  corsOrigins: setting('BUZZER_CORS_ORIGINS', origins),
  tenantRate: setting('BUZZER_TENANT_RATE', optionalInteger),
  tenantInFlight: setting('BUZZER_TENANT_IN_FLIGHT', integer(10_000)),
  tenantBatches: setting('BUZZER_TENANT_BATCHES', integer(4)),
  maxBatchItems: setting('BUZZER_MAX_BATCH_ITEMS', integer(1_000_000)),
  modelBacklog: setting('BUZZER_MODEL_BACKLOG', integer(20_000)),
  cachedWorkflows: setting('BUZZER_CACHED_WORKFLOWS', optionalInteger),
  maxWaiting: setting('BUZZER_MAX_WAITING', integer(1000)),
  maxBufferedBytes: setting('BUZZER_MAX_BUFFERED', bytes('256MiB')),
  tenantStorageBytes: setting('BUZZER_TENANT_STORAGE', optionalBytes),
  payloadStore: setting('BUZZER_PAYLOAD_STORE', payloadStore),
  s3PathStyle: setting('BUZZER_S3_PATH_STYLE', optionalFlag),
  s3Redirect: setting('BUZZER_S3_REDIRECT', flag),
  s3Encryption: setting('BUZZER_S3_ENCRYPTION', oneOf(['AES256', 'aws:kms']).optional()),
  storageReserveBytes: setting('BUZZER_STORAGE_RESERVE', bytes('256MiB')),
  temporalPort: setting('BUZZER_TEMPORAL_PORT', port(7233)),
  uiPort: setting('BUZZER_UI_PORT', port(8233)),
  uiUrl: setting('BUZZER_UI_URL', optionalUrl),
  deadlineMs: setting('BUZZER_DEADLINE', duration('24h')),
  givenQueueTtlMs: setting('BUZZER_QUEUE_TTL', optionalDuration),
  heartbeatTimeoutMs: setting('BUZZER_HEARTBEAT_TIMEOUT', duration('5s')),
  fileTtlMs: setting('BUZZER_FILE_TTL', duration('720h')),
  resultTtlMs: setting('BUZZER_RESULT_TTL', duration('96h')),
  shutdownGraceMs: setting('BUZZER_SHUTDOWN_GRACE', duration('30s', DAY_MS)),
  engineInlineLimit: setting('BUZZER_ENGINE_INLINE_LIMIT', bytes('2KiB', MAX_ENGINE_INLINE_LIMIT)),
  responseInlineLimit: setting('BUZZER_RESPONSE_INLINE_LIMIT', bytes('1MiB')),
  maxJsonBytes: setting('BUZZER_MAX_JSON', bytes('10MiB')),
  maxUploadBytes: setting('BUZZER_MAX_UPLOAD', bytes('100MiB')),
  maxFileBytes: setting('BUZZER_MAX_FILE', bytes('5GiB')),
  maxOutputBytes: setting('BUZZER_MAX_OUTPUT', bytes('64MiB')),
  maxPixels: setting('BUZZER_MAX_PIXELS', integer(100_000_000)),
  addressPolicy: setting('BUZZER_OUTBOUND_ALLOW', outboundAllow),
  secretKeys: setting('BUZZER_SECRET_KEY', secretKeys),
  encryptionKeys: setting('BUZZER_ENCRYPTION_KEYS', secretKeys),
  webhookScheduleMs: setting('BUZZER_WEBHOOK_SCHEDULE', schedule(DEFAULT_SCHEDULE)),
  logLevel: setting('BUZZER_LOG_LEVEL', oneOf(LOG_LEVELS).default('info')),
} as const;

/** The names of all settings in the environment. */
export const SETTING_NAMES: readonly string[] = Object.values(SETTINGS).map(({ name }) => name);

type Settings = {
  readonly [K in keyof typeof SETTINGS]: z.infer<(typeof SETTINGS)[K]['schema']>;
};

/** Settings whose value no log or message may show. */
const SECRET_SETTINGS: readonly string[] = ['BUZZER_SECRET_KEY', 'BUZZER_ENCRYPTION_KEYS'];

/** An environment value that cannot be used; the message is one line that names it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export type Config = ReturnType<typeof readConfig>;

/** Reads the environment; throws `ConfigError`. Paths come back absolute. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env) {
  const settings = readSettings(environment);
  const { host, port: ownPort, keysFile } = settings;
  const isLoopback = LOOPBACK.test(host);
  const urlHost = host.includes(':') ? `[${host}]` : host;
  return Object.freeze({
    ...settings,
    /** True: only this machine can reach the API. */
    isLoopback,
    publicUrl: settings.givenPublicUrl ?? `http://${urlHost}:${ownPort}`,
    /** Null: there are no keys, and every client is the same tenant. */
    keysFile: keysFile ?? null,
    payloadPlace: payloadPlaceOf(settings, environment),
    modelFolders: (settings.models ?? (isLoopback ? 'models,examples/models' : 'models'))
      .split(',')
      .map((folder) => resolve(folder)),
    inferenceMetrics: {
      host: settings.metricsHost,
      port: settings.givenMetricsPort ?? INFERENCE_METRICS_PORT,
      isPortFixed: settings.givenMetricsPort !== undefined,
    },
    queueTtlMs: settings.givenQueueTtlMs ?? settings.deadlineMs,
    /** How much of the payload store inputs may take. */
    storage: {
      /** Bytes of the payloads of one tenant's predictions; null: no limit. */
      tenantBytes: settings.tenantStorageBytes ?? (keysFile === undefined ? null : TENANT_BYTES),
      /** Bytes of the disk that must stay free for the engine's database and for outputs. */
      reserveBytes: settings.storageReserveBytes,
    },
    hub: readHub(environment),
    temporal: readTemporal(environment, settings.temporalPort),
    environment,
  });
}

/** The setting whose name differs from a wrong one only by a typing mistake. */
function unknownSetting(name: string): string {
  const known = SETTING_NAMES.map((each) => [each, editsBetween(name, each)] as const);
  const [nearest, distance] = known.reduce((best, each) => (each[1] < best[1] ? each : best));
  const advice =
    distance <= MAX_TYPING_ERRORS ? `did you mean ${nearest}?` : 'docs/configuration.md lists them';
  return `${name}: no such setting; ${advice}`;
}

function readSettings(environment: NodeJS.ProcessEnv): Settings {
  const unknown = Object.keys(environment).filter(
    (name) => name.startsWith('BUZZER_') && !SETTING_NAMES.includes(name),
  );
  if (unknown.length > 0) throw new ConfigError(unknown.map(unknownSetting).join('; '));
  const wrong: string[] = [];
  const refuse = (name: string, message: string) => {
    const given = SECRET_SETTINGS.includes(name) ? '' : `=${environment[name] ?? ''}`;
    wrong.push(`${name}${given}: ${message}`);
  };
  const entries = Object.entries(SETTINGS).map(([key, { name, schema }]) => {
    const parsed = schema.safeParse(environment[name]);
    if (parsed.success) return [key, parsed.data] as const;
    for (const { message } of parsed.error.issues) refuse(name, message);
    return [key, undefined] as const;
  });
  const settings = Object.fromEntries(entries) as Settings;
  if (wrong.length === 0) refuseExposure(settings, refuse);
  if (wrong.length > 0) throw new ConfigError(wrong.join('; '));
  return settings;
}

/** A bucket's name is part of the path where another server than AWS's own is named, unless a setting says otherwise. */
function payloadPlaceOf(
  { payloadStore: url, s3PathStyle, s3Encryption, s3Redirect, dataDir }: Settings,
  environment: NodeJS.ProcessEnv,
): PayloadPlace {
  if (url === undefined) return { kind: 'folder', folder: join(dataDir, 'payloads') };
  const endpoint = environment['AWS_ENDPOINT_URL_S3'] ?? environment['AWS_ENDPOINT_URL'];
  return {
    kind: 's3',
    ...url,
    isPathStyle: s3PathStyle ?? endpoint !== undefined,
    encryption: s3Encryption ?? null,
    redirects: s3Redirect,
  };
}

/** Refuses an address that anybody could use, unless the operator has said that it is meant. */
function refuseExposure(
  { host, keysFile, allowsAnonymous, secretKeys: keys }: Settings,
  refuse: (name: string, message: string) => void,
): void {
  const hasKeys = keysFile !== undefined;
  if (hasKeys && allowsAnonymous) {
    refuse('BUZZER_ALLOW_ANONYMOUS', 'contradicts BUZZER_KEYS_FILE: unset one of them');
  }
  if (LOOPBACK.test(host)) return;
  if (!hasKeys && !allowsAnonymous) {
    refuse(
      'BUZZER_HOST',
      `${host} is not a loopback address, and there are no API keys: anybody who reaches it could use it. ` +
        'Set BUZZER_KEYS_FILE (npm run keys makes it), or BUZZER_ALLOW_ANONYMOUS=true if that is what you want',
    );
  }
  if (keys.length > 0) return;
  refuse(
    'BUZZER_SECRET_KEY',
    'is needed when BUZZER_HOST is not a loopback address: the same for the API and the ' +
      'orchestration workers, such as `openssl rand -base64 32` prints',
  );
}

/** Hugging Face's own environment, for `npm run pull`. */
function readHub({ HF_ENDPOINT: endpoint, HF_TOKEN: token }: NodeJS.ProcessEnv) {
  const isUrl = endpoint === undefined || (/^https?:/.test(endpoint) && URL.canParse(endpoint));
  if (!isUrl) throw new ConfigError(`HF_ENDPOINT=${endpoint}: must be a URL`);
  return {
    endpoint: (endpoint ?? 'https://huggingface.co').replace(/\/+$/, ''),
    token: token === undefined || token === '' ? null : token,
  };
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
