/* An API key: the token that a client sends, and what we keep of it. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';

/** What a key may be used for. None includes another. */
export const SCOPES = ['predict', 'read', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** A tenant's name is part of store keys and of visibility queries, so it has no character that needs quoting. */
export const TENANT = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const TOKEN = /^bz_([0-9a-f]{16})_([\w-]{43})$/;

/** What is kept of a key: everything but the secret. */
export const apiKeySchema = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{16}$/),
  tenant: z.string().regex(TENANT, 'must be 1 to 63 of a-z 0-9 -, no - at either end'),
  scopes: z.array(z.enum(SCOPES)).min(1),
  /** SHA-256 of the secret, in hex. The secret has 256 random bits, so no slower hash is needed. */
  secret_sha256: z.string().regex(/^[0-9a-f]{64}$/),
  description: z.string().max(200),
  created_at: z.iso.datetime(),
  /** Null: the key is valid until it is revoked. */
  expires_at: z.iso.datetime().nullable(),
});

export type ApiKey = z.infer<typeof apiKeySchema>;

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();

/** A new key. `token` is what the client sends; it is stored nowhere. */
export function newApiKey(
  settings: Pick<ApiKey, 'tenant' | 'scopes' | 'description' | 'expires_at'>,
): { readonly key: ApiKey; readonly token: string } {
  const id = randomBytes(8).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  const key = {
    id,
    ...settings,
    secret_sha256: sha256(secret).toString('hex'),
    created_at: new Date().toISOString(),
  };
  return { key, token: `bz_${id}_${secret}` };
}

/** The key that a token belongs to; null when there is none. */
export function keyOf(token: string, keys: ReadonlyMap<string, ApiKey>): ApiKey | null {
  const [, id, secret] = TOKEN.exec(token) ?? [];
  const key = id === undefined ? undefined : keys.get(id);
  if (key === undefined || secret === undefined) return null;
  return timingSafeEqual(sha256(secret), Buffer.from(key.secret_sha256, 'hex')) ? key : null;
}

/** Whether the key has expired. */
export const hasExpired = ({ expires_at: at }: ApiKey): boolean =>
  at !== null && Date.parse(at) <= Date.now();
