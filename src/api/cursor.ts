/* Where a list goes on: the server's token, signed for the list that gave it. */
import type { SecretBox } from '../webhooks/secret-box.ts';
import { EngineRefusedError } from '../temporal/timely-calls.ts';
import { Problem } from './problems.ts';

/** What `Cursors` needs of a secret box. */
export type Signer = Pick<SecretBox, 'sign' | 'isSigned'>;

const SIGNATURE_BYTES = 32; // HMAC-SHA256

export class Cursors {
  readonly #signer: Signer;

  constructor(signer: Signer) {
    this.#signer = signer;
  }

  /** A token for the next page of a list: of this tenant, with these filters. */
  write(list: readonly unknown[], token: Uint8Array): string {
    const signature = this.#signer.sign(signed(list, token));
    return Buffer.concat([signature, token]).toString('base64url');
  }

  /** Throws a problem when it is not one that this list gave. */
  read(list: readonly unknown[], cursor: string): Buffer {
    const bytes = Buffer.from(cursor, 'base64url');
    const token = bytes.subarray(SIGNATURE_BYTES);
    if (this.#signer.isSigned(signed(list, token), bytes.subarray(0, SIGNATURE_BYTES)))
      return token;
    throw unknownCursor();
  }

  /** Reads a page; a token that the engine refuses was of a cursor that is too old. */
  async page<T>(token: Uint8Array | null, read: () => Promise<T>): Promise<T> {
    return await read().catch((error: unknown) => {
      throw token !== null && error instanceof EngineRefusedError ? unknownCursor() : error;
    });
  }
}

const signed = (list: readonly unknown[], token: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`${JSON.stringify(list)}\n`), token]);

const unknownCursor = (): Problem =>
  new Problem(
    'malformed_request',
    'in the query, the cursor is not one that this list gave with these filters: begin without one',
  );
