/* Signatures of Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`. */
import { createHmac, randomBytes } from 'node:crypto';

const PREFIX = 'whsec_';
const SECRET_BYTES = 32; // the standard asks for 24 to 64

/** A new signing secret as it is shown: `whsec_` and base64. */
export const newSigningSecret = (): string => PREFIX + randomBytes(SECRET_BYTES).toString('base64');

/** What is signed; the timestamp is that of the attempt, in seconds. */
export interface SignedMessage {
  readonly id: string;
  readonly timestampS: number;
  readonly body: Uint8Array;
}

/** The header `webhook-signature`: one signature for each secret that is valid now. */
export const signatureHeader = (message: SignedMessage, secrets: readonly string[]): string =>
  secrets.map((secret) => sign(message, secret)).join(' ');

function sign({ id, timestampS, body }: SignedMessage, secret: string): string {
  const key = Buffer.from(secret.slice(PREFIX.length), 'base64');
  const hmac = createHmac('sha256', key).update(`${id}.${timestampS}.`).update(body);
  return `v1,${hmac.digest('base64')}`;
}
