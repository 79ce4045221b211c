/* Where a list goes on: the server's token, signed for the list that gave it. */
import type { SecretBox } from '../../secrets/secret-box.ts';
import { EngineUnavailableError } from '../../temporal/timely-calls.ts';
import { Problem } from './problems.ts';

/** What `Cursors` needs of a secret box. */
type Signer = Pick<SecretBox, 'sign' | 'isSigned'>;

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

  /**
   * Reads a page. The engine may not know a token of ours any more, when it keeps its lists elsewhere
   * now; it does not say so, but fails (Temporal 1.31 answers UNKNOWN) where it gives the first page.
   */
  async page<T>(
    token: Uint8Array | null,
    read: (token: Uint8Array | null) => Promise<T>,
  ): Promise<T> {
    try {
      return await read(token);
    } catch (error) {
      if (token === null || !(error instanceof EngineUnavailableError)) throw error;
      await read(null); // which throws when it is the engine that fails
      throw unknownCursor();
    }
  }
}

const signed = (list: readonly unknown[], token: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`${JSON.stringify(list)}\n`), token]);

const unknownCursor = (): Problem =>
  new Problem(
    'malformed_request',
    'in the query, the cursor is not one that this list gave with these filters: begin without one',
  );
