/* The signing secret of each tenant, and the ones before it while they are still valid. */
import { newSigningSecret } from './signature.ts';
import { TenantObject, type TenantObjects } from './tenant-object.ts';

const MAX_VALID = 10; // each is one more signature in a header

export interface SigningSecret {
  readonly secret: string;
  readonly created_at: string;
  /** Null: it is the present one. */
  readonly expires_at: string | null;
}

/** So many secrets are valid that another rotation would end one of them too early. */
export class TooManySecretsError extends Error {
  override readonly name = 'TooManySecretsError';
  readonly retryAfterMs: number;
  constructor(retryAfterMs: number) {
    super(`${MAX_VALID} secrets are still valid: rotate again when the oldest has expired`);
    this.retryAfterMs = retryAfterMs;
  }
}

export class SigningSecrets {
  readonly #object: TenantObject<readonly SigningSecret[]>;

  constructor(objects: TenantObjects) {
    this.#object = new TenantObject(objects, 'webhook-secret');
  }

  /** The secrets that are valid now, the present one first. Makes the first when there is none. */
  async valid(tenant: string): Promise<readonly [SigningSecret, ...SigningSecret[]]> {
    const nowMs = Date.now();
    const stored =
      (await this.#object.read(tenant)) ??
      (await this.#object.update(tenant, (secrets) => secrets ?? [newSecret(nowMs)]));
    return validAt(stored, nowMs);
  }

  /**
   * A new secret; those before it are valid for `overlapMs` more, and none at all with 0, for one that
   * has leaked. Throws `TooManySecretsError`.
   */
  async rotate(
    tenant: string,
    overlapMs: number,
  ): Promise<readonly [SigningSecret, ...SigningSecret[]]> {
    const nowMs = Date.now();
    const expiresAt = new Date(nowMs + overlapMs).toISOString();
    const rotated = await this.#object.update(tenant, (secrets) => {
      const before = secrets === null || overlapMs === 0 ? [] : validAt(secrets, nowMs);
      const oldest = before[MAX_VALID - 1];
      if (oldest !== undefined) {
        throw new TooManySecretsError(Date.parse(oldest.expires_at ?? expiresAt) - nowMs);
      }
      const expiring = before.map((each) => ({ ...each, expires_at: earlier(each, expiresAt) }));
      return [newSecret(nowMs), ...expiring];
    });
    return validAt(rotated, nowMs);
  }
}

const earlier = ({ expires_at: at }: SigningSecret, limit: string): string =>
  at !== null && at < limit ? at : limit;

const newSecret = (nowMs: number): SigningSecret => ({
  secret: newSigningSecret(),
  created_at: new Date(nowMs).toISOString(),
  expires_at: null,
});

function validAt(
  secrets: readonly SigningSecret[],
  nowMs: number,
): readonly [SigningSecret, ...SigningSecret[]] {
  const [present, ...before] = secrets;
  if (present === undefined) throw new TypeError('a tenant has lost its signing secret');
  const valid = before.filter(({ expires_at: at }) => at !== null && Date.parse(at) > nowMs);
  return [present, ...valid];
}
