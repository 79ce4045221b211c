/*
 * Bytes encrypted in segments, so that a piece of them can be read alone and none is given out unchecked. This is the
 * STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár (2015, https://eprint.iacr.org/2015/189) with
 * AES-256-GCM: a nonce holds the number of its segment, and whether that is the last one. So segments can be neither
 * changed, left out, put in another order nor cut off at the end. Each payload has a key of its own (HKDF-SHA256 of the
 * given key, a random salt and the name of the payload), so a payload cannot be put in the place of another one.
 *
 *   magic "BZE1" | id of the key, 8 bytes | salt, 16 bytes | segments: up to 64 KiB encrypted, and 16 bytes of tag
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';

const MAGIC = Buffer.from('BZE1');
const ID_BYTES = 8;
const SALT_BYTES = 16;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;

/** How many bytes stand before the first segment. */
export const HEAD_BYTES = MAGIC.length + ID_BYTES + SALT_BYTES;
/** How many bytes a segment holds that is not the last one, and how many it takes. */
export const SEGMENT_BYTES = 64 * 1024;
export const SEALED_BYTES = SEGMENT_BYTES + TAG_BYTES;

export interface EncryptionKey {
  readonly id: Buffer;
  /** 32 bytes. */
  readonly secret: Buffer;
}

/** A key with its id, which does not tell it. */
export const encryptionKey = (secret: Buffer): EncryptionKey => ({
  id: createHash('sha256').update('buzzer key id').update(secret).digest().subarray(0, ID_BYTES),
  secret,
});

/** Whether bytes begin as encrypted ones do. */
export const isHead = (bytes: Buffer): boolean =>
  bytes.length >= HEAD_BYTES && bytes.subarray(0, MAGIC.length).equals(MAGIC);

/** The id of the key in a head. */
export const keyIdIn = (head: Buffer): Buffer =>
  head.subarray(MAGIC.length, MAGIC.length + ID_BYTES);

/** Encrypts and decrypts the segments of one payload. */
export class Segments {
  /** What stands before the first segment. */
  readonly head: Buffer;
  readonly #key: Buffer;

  private constructor(head: Buffer, { secret }: EncryptionKey, name: string) {
    this.head = head;
    const salt = head.subarray(MAGIC.length + ID_BYTES);
    this.#key = Buffer.from(hkdfSync('sha256', secret, salt, `buzzer payload ${name}`, 32));
  }

  /** Of a payload that is about to be written. */
  static begin(key: EncryptionKey, name: string): Segments {
    return new Segments(Buffer.concat([MAGIC, key.id, randomBytes(SALT_BYTES)]), key, name);
  }

  /** Of a payload with this head. */
  static of(head: Buffer, key: EncryptionKey, name: string): Segments {
    return new Segments(head.subarray(0, HEAD_BYTES), key, name);
  }

  seal(segment: Uint8Array, number: number, isLast: boolean): Buffer {
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonceOf(number, isLast));
    return Buffer.concat([cipher.update(segment), cipher.final(), cipher.getAuthTag()]);
  }

  /** Null: it is not what was encrypted. */
  open(sealed: Buffer, number: number, isLast: boolean): Buffer | null {
    if (sealed.length < TAG_BYTES) return null;
    const decipher = createDecipheriv('aes-256-gcm', this.#key, nonceOf(number, isLast));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const bytes = decipher.update(sealed.subarray(0, -TAG_BYTES));
    try {
      return Buffer.concat([bytes, decipher.final()]);
    } catch {
      return null;
    }
  }
}

function nonceOf(number: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUInt32BE(number, NONCE_BYTES - 4);
  nonce[NONCE_BYTES - 5] = isLast ? 1 : 0;
  return nonce;
}
