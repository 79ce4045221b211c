/*
 * Environment → one frozen Config. The only reader of process.env. A wrong value ends the process
 * with one line that names it.
 */
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { messageOf } from './contract/failure.ts';
import { formatDuration, parseDurationMs } from './contract/duration.ts';
import { LOG_LEVELS } from './telemetry/logger.ts';

const BYTE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};
/** `ended`, which holds the output, has 8 KiB; `accepted`, which holds the input, 24 KiB. */
const MAX_ENGINE_INLINE_LIMIT = 6 * 1024;
const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|::1|localhost)$/;

const INFERENCE_METRICS_PORT = 9092;

const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;

/** Milliseconds, written as `90s` or `1h30m`. */
const duration = (fallback: string, maxMs = YEAR_MS) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const durationMs = parseDurationMs(text);
      if (durationMs !== null && durationMs > 0 && durationMs <= maxMs) return durationMs;
      const most = formatDuration(maxMs);
      context.addIssue(`must be a duration such as 90s or 1h30m, at most ${most}`);
      return z.NEVER;
    });

/** Bytes, written as `512`, `2KiB`, `10MiB` or `5GiB`. */
const bytes = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const [, amount, unit] = /^(\d+)(KiB|MiB|GiB|)$/.exec(text) ?? [];
      if (amount !== undefined) return Number(amount) * (BYTE_UNITS[unit ?? ''] ?? 1);
      context.addIssue('must be a size such as 512, 2KiB or 10MiB');
      return z.NEVER;
    });

const port = (fallback: number) =>
  z
    .string()
    .default(String(fallback))
    .refine(
      (text) => /^\d{1,5}$/.test(text) && Number(text) <= 65_535,
      'must be a port, 0 to 65535',
    )
    .transform(Number);

const flag = z
  .enum(['true', 'false'], 'must be true or false')
  .default('false')
  .transform((text) => text === 'true');

const integer = (fallback: number) =>
  z
    .string()
    .default(String(fallback))
    .refine((text) => /^[1-9]\d{0,11}$/.test(text), 'must be a positive whole number')
    .transform(Number);

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
    BUZZER_TEMPORAL_PORT: port(7233),
    BUZZER_UI_PORT: port(8233),
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
    BUZZER_LOG_LEVEL: z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`).default('info'),
  })
  .superRefine((env, context) => {
    if (!LOOPBACK.test(env.BUZZER_HOST) && !env.BUZZER_ALLOW_ANONYMOUS) {
      context.addIssue({
        code: 'custom',
        path: ['BUZZER_HOST'],
        message:
          `${env.BUZZER_HOST} is not a loopback address, and there are no API keys: anybody who ` +
          'reaches it could use it. Set BUZZER_ALLOW_ANONYMOUS=true if that is what you want',
      });
    }
  });

/** An environment value that cannot be used; the message is one line that names it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export type Config = ReturnType<typeof readConfig>;

/** Reads the environment; throws `ConfigError`. Paths come back absolute. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env) {
  const unknown = Object.keys(environment).filter(
    (name) => name.startsWith('BUZZER_') && !(name in environmentSchema.shape),
  );
  if (unknown.length > 0) throw new ConfigError(`${unknown.join(', ')}: no such setting`);
  const parsed = environmentSchema.safeParse(environment);
  if (!parsed.success) {
    throw new ConfigError(
      parsed.error.issues
        .map((issue) => {
          const name = issue.path.join('.');
          return `${name}=${environment[name] ?? ''}: ${issue.message}`;
        })
        .join('; '),
    );
  }
  const env = parsed.data;
  const isLoopback = LOOPBACK.test(env.BUZZER_HOST);
  const dataDir = resolve(env.BUZZER_DATA_DIR);
  const urlHost = env.BUZZER_HOST.includes(':') ? `[${env.BUZZER_HOST}]` : env.BUZZER_HOST;
  return Object.freeze({
    host: env.BUZZER_HOST,
    port: env.BUZZER_PORT,
    publicUrl: (env.BUZZER_PUBLIC_URL ?? `http://${urlHost}:${env.BUZZER_PORT}`).replace(
      /\/+$/,
      '',
    ),
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
    logLevel: env.BUZZER_LOG_LEVEL,
    temporal: readTemporal(environment, env.BUZZER_TEMPORAL_PORT),
    environment,
  });
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
