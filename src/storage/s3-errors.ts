/* What the errors of an S3 server mean. */
import { messageOf } from '../contract/failure.ts';
import { StorageError } from './payload-store.ts';

/** The HTTP status of an error of the client; undefined when it has none. */
export const statusOf = (error: unknown): number | undefined =>
  (error as { $metadata?: { httpStatusCode?: number } } | null)?.$metadata?.httpStatusCode;

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : '');

/** Whether there is no such object. */
export const isMissing = (error: unknown): boolean =>
  nameOf(error) === 'NoSuchKey' || (nameOf(error) === 'NotFound' && statusOf(error) === 404);

/** What only a person can repair, in words that say how. */
const ADVICE: Readonly<Record<string, string>> = {
  NoSuchBucket: 'there is no such bucket: create it, or correct BUZZER_PAYLOAD_STORE',
  NotFound: 'there is no such bucket: create it, or correct BUZZER_PAYLOAD_STORE',
  AccessDenied: 'the credentials may not do this: allow reading, writing, listing and deleting',
  Forbidden: 'the credentials may not do this, or are wrong',
  InvalidAccessKeyId: 'the access key is not known there (AWS_ACCESS_KEY_ID)',
  SignatureDoesNotMatch: 'the secret key is wrong (AWS_SECRET_ACCESS_KEY)',
  CredentialsProviderError: 'there are no credentials (AWS_ACCESS_KEY_ID, or another way of AWS)',
};

/** What callers of a store are told. */
export function storageError(what: string, cause: unknown): StorageError {
  if (cause instanceof StorageError) return cause;
  const isDenied = statusOf(cause) === 403;
  const advice = ADVICE[nameOf(cause)] ?? (isDenied ? ADVICE['Forbidden'] : undefined);
  return new StorageError(`${what}: ${advice ?? messageOf(cause)}`, {
    cause,
    needsPerson: advice !== undefined,
  });
}
