/* The kinds of value that a setting may have. Each turns the text of the environment into what the code uses. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { DAY_MS, formatDuration, parseDurationMs } from './contract/duration.ts';
import { isPlainPath } from './contract/model.ts';
import { messageOf } from './contract/failure.ts';
import { MAX_KEPT_ATTEMPTS } from './contract/webhook.ts';
import { AddressPolicy, parseOutboundAllow } from './outbound/address-policy.ts';

const BYTE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};
const YEAR_MS = 365 * DAY_MS;

const durationOf = (maxMs: number) =>
  z.string().transform((text, context) => {
    const durationMs = parseDurationMs(text);
    if (durationMs !== null && durationMs > 0 && durationMs <= maxMs) return durationMs;
    const most = formatDuration(maxMs);
    context.addIssue(`must be a duration such as 90s or 1h30m, at most ${most}`);
    return z.NEVER;
  });

/** Milliseconds, written as `90s` or `1h30m`. */
export const duration = (fallback: string, maxMs = YEAR_MS) =>
  z.string().default(fallback).pipe(durationOf(maxMs));

/** The same, for a setting whose default is another setting. */
export const optionalDuration = durationOf(YEAR_MS).optional();

const size = z.string().transform((text, context) => {
  const [, amount, unit] = /^(\d+)(KiB|MiB|GiB|)$/.exec(text) ?? [];
  if (amount !== undefined) return Number(amount) * (BYTE_UNITS[unit ?? ''] ?? 1);
  context.addIssue('must be a size such as 512, 2KiB or 10MiB');
  return z.NEVER;
});

/** Bytes, written as `512`, `2KiB`, `10MiB` or `5GiB`. */
export const bytes = (fallback: string, most = Infinity) =>
  z
    .string()
    .default(fallback)
    .pipe(size)
    .refine((given) => given <= most, `must be at most ${most / 1024}KiB: more does not fit`);

/** A path, or several; `what` names the thing for messages. */
export const path = (what: string) => z.string().min(1, `must name ${what}`);

export const absolute = (given: string): string => resolve(given);

/** An http(s) URL, without slashes at its end. */
export const optionalUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http(s) URL' })
  .transform((url) => url.replace(/\/+$/, ''))
  .optional();

/** Where models run. */
export const device = z
  .string()
  .regex(/^(?:cpu|webgpu|cuda:\d{1,2})$/, 'must be cpu, webgpu or cuda:<number>');

export const oneOf = <T extends string>(values: readonly T[]) =>
  z.enum(values, `must be one of ${values.join(', ')}`);

/** The same, without a default. */
export const optionalBytes = size.optional();

const portNumber = z
  .string()
  .refine((text) => /^\d{1,5}$/.test(text) && Number(text) <= 65_535, 'must be a port, 0 to 65535')
  .transform(Number);

/** A port, as a number. */
export const port = (fallback: number) => z.string().default(String(fallback)).pipe(portNumber);

/** The same, with whether somebody has chosen it. */
export const optionalPort = portNumber.optional();

const truth = z.enum(['true', 'false'], 'must be true or false');

/** `true` or `false`. */
export const flag = truth.default('false').transform((text) => text === 'true');

/** The same, for a setting whose default is another setting. */
export const optionalFlag = truth.transform((text) => text === 'true').optional();

/** `s3://bucket` or `s3://bucket/prefix`. */
export const payloadStore = z
  .string()
  .transform((text, context) => {
    const [, bucket, prefix = ''] =
      /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(text) ?? [];
    const trimmed = prefix.replace(/\/+$/, '');
    const isPlain = trimmed === '' || isPlainPath(trimmed);
    if (bucket !== undefined && isPlain) return { bucket, prefix: trimmed };
    context.addIssue('must be s3://bucket or s3://bucket/prefix');
    return z.NEVER;
  })
  .optional();

const wholeNumber = z
  .string()
  .refine((text) => /^[1-9]\d{0,11}$/.test(text), 'must be a positive whole number')
  .transform(Number);

/** A positive whole number. */
export const integer = (fallback: number) => z.string().default(String(fallback)).pipe(wholeNumber);

/** The same, without a default. */
export const optionalInteger = wholeNumber.optional();

/** `https://app.example.com,https://…`: origins as a browser names them. */
export const origins = z
  .string()
  .default('')
  .transform((text, context) => {
    const given = text === '' ? [] : text.split(',').map((origin) => origin.trim());
    if (given.every((origin) => URL.canParse(origin) && new URL(origin).origin === origin)) {
      return given;
    }
    context.addIssue(
      'must be origins such as https://app.example.com, with nothing behind the host',
    );
    return z.NEVER;
  });

/** `0s,5s,5m`: the pause before each attempt. */
export const schedule = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const pausesMs = text.split(',').map((pause) => parseDurationMs(pause.trim()));
      const isRight = pausesMs.every((pauseMs) => pauseMs !== null && pauseMs <= DAY_MS);
      if (isRight && pausesMs.length <= MAX_KEPT_ATTEMPTS) return pausesMs as readonly number[];
      context.addIssue(
        `must be at most ${MAX_KEPT_ATTEMPTS} durations such as 0s,5s,5m, none over 24h`,
      );
      return z.NEVER;
    });

/** Keys of 32 bytes in base64; the first encrypts, all decrypt. */
export const secretKeys = z
  .string()
  .default('')
  .transform((text, context) => {
    const keys = text === '' ? [] : text.split(',').map((key) => Buffer.from(key.trim(), 'base64'));
    if (keys.every((key) => key.length === 32)) return keys;
    context.addIssue(`must be 32 bytes in base64, such as \`openssl rand -base64 32\` prints`);
    return z.NEVER;
  });

/** The hosts and ranges that the operator has opened, as a policy. */
export const outboundAllow = z
  .string()
  .default('')
  .transform((text, context) => {
    try {
      return new AddressPolicy(parseOutboundAllow(text));
    } catch (error) {
      context.addIssue(messageOf(error));
      return z.NEVER;
    }
  });
