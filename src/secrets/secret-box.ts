/*
 * What the payload store must not hold in the clear: AES-256-GCM with a key that lies elsewhere.
 * A sealed text names its key, so that keys can be changed, and is bound to the place it was sealed
 * for, so that one tenant's cannot be put into another's.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';
import { link, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../contract/failure.ts';
import { makeFolder } from '../disk/make-folder.ts';
import { readSmallFile } from '../disk/small-file.ts';

const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const NONCE_BYTES = 12; // what GCM is made for (NIST SP 800-38D)
const KEY_FILE = 'secret.key';
const MAX_FILE_BYTES = 1024;

interface Sealed {
  readonly key_id: string;
  readonly nonce: string;
  readonly tag: string;
  readonly data: string;
}

export interface SecretBox {
  /** `place` is where the sealed text will lie. */
  seal(text: string, place: string): Buffer;
  /** Throws `SecretBoxError`. */
  open(sealed: Uint8Array, place: string): string;
  /** A signature (HMAC-SHA256) of what clients bring back to us. */
  sign(bytes: Uint8Array): Buffer;
  /** Whether a signature was made with any of the keys. */
  isSigned(bytes: Uint8Array, signature: Uint8Array): boolean;
}

/** It was sealed with a key that is not here, or is not what was sealed. */
export class SecretBoxError extends Error {
  override readonly name = 'SecretBoxError';
}

/** Seals with the first of these keys (32 bytes each), opens with any. */
export function createSecretBox(keys: readonly Buffer[]): SecretBox {
  const [current] = keys;
  if (current === undefined) throw new TypeError('there must be a key');
  const byId = new Map(keys.map((key) => [keyId(key), key]));
  return {
    seal(text, place) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, current, nonce).setAAD(Buffer.from(place));
      const data = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      const sealed: Sealed = {
        key_id: keyId(current),
        nonce: nonce.toString('base64'),
        tag: cipher.getAuthTag().toString('base64'),
        data: data.toString('base64'),
      };
      return Buffer.from(JSON.stringify(sealed));
    },
    open(bytes, place) {
      try {
        const sealed = JSON.parse(Buffer.from(bytes).toString('utf8')) as Sealed;
        const key = byId.get(sealed.key_id);
        if (key === undefined) {
          throw new SecretBoxError(
            `${place} was encrypted with key ${sealed.key_id}, which BUZZER_SECRET_KEY does not hold here`,
          );
        }
        const decipher = createDecipheriv(CIPHER, key, Buffer.from(sealed.nonce, 'base64'))
          .setAAD(Buffer.from(place))
          .setAuthTag(Buffer.from(sealed.tag, 'base64'));
        const data = Buffer.from(sealed.data, 'base64');
        return Buffer.concat([decipher.update(data), decipher.final()]).toString('utf8');
      } catch (error) {
        if (error instanceof SecretBoxError) throw error;
        throw new SecretBoxError(
          `${place} is damaged in the payload store: restore it, or remove it to go back to the one before`,
          { cause: error },
        );
      }
    },
    sign: (bytes) => signature(current, bytes),
    isSigned: (bytes, given) =>
      keys.some((key) => {
        const expected = signature(key, bytes);
        return expected.length === given.length && timingSafeEqual(expected, given);
      }),
  };
}

const signature = (key: Buffer, bytes: Uint8Array): Buffer =>
  createHmac('sha256', key).update('buzzer cursor').update(bytes).digest();

/** Names a key without telling anything of it. */
const keyId = (key: Buffer): string =>
  createHash('sha256').update('buzzer key id').update(key).digest('hex').slice(0, 12);

/**
 * The box of this process: with the keys of the setting, or one that is kept in the data folder.
 * Throws `SecretBoxError` when that one cannot be read.
 */
export async function openSecretBox(
  secretKeys: readonly Buffer[],
  dataDir: string,
): Promise<SecretBox> {
  return createSecretBox(secretKeys.length > 0 ? secretKeys : [await localKey(dataDir)]);
}

/** Several processes may ask at once, at the first start: one makes the key, all use it. */
async function localKey(dataDir: string): Promise<Buffer> {
  const file = join(dataDir, KEY_FILE);
  const found = await readKey(file);
  if (found !== null) return found;
  await makeFolder(dataDir);
  const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  await writeFile(temporary, `${randomBytes(KEY_BYTES).toString('base64')}\n`, { mode: 0o600 });
  await link(temporary, file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await rm(temporary);
  const made = await readKey(file);
  if (made === null) throw new SecretBoxError(`${file} is gone again`);
  return made;
}

async function readKey(file: string): Promise<Buffer | null> {
  const text = await readSmallFile(file, MAX_FILE_BYTES).catch((error: unknown) => {
    throw new SecretBoxError(`${file} ${messageOf(error)}: restore or remove it`, { cause: error });
  });
  if (text === null) return null;
  const key = Buffer.from(text.trim(), 'base64');
  if (key.length === KEY_BYTES) return key;
  const advice = 'restore it, or remove it, and make webhook secrets and endpoints again';
  throw new SecretBoxError(
    `${file} is damaged: it must hold ${KEY_BYTES} bytes in base64; ${advice}`,
  );
}
