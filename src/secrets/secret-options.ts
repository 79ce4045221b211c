/* Options that nobody may see but the model: sealed, they lie in the store beside the inputs. */
import type { Json } from '../contract/payload.ts';
import type { SecretBox } from './secret-box.ts';

type Options = Readonly<Record<string, Json>>;

/** What of some options may be shown, and what may not; null: nothing. */
export function partOptions(
  options: Options,
  secretNames: readonly string[],
): { readonly shown: Options; readonly secret: Options | null } {
  const isSecret = ([name, value]: readonly [string, Json]): boolean =>
    secretNames.includes(name) && value !== null;
  const entries = Object.entries(options);
  const secret = entries.filter(isSecret);
  const shown = Object.fromEntries(entries.filter((entry) => !isSecret(entry)));
  return { shown, secret: secret.length === 0 ? null : Object.fromEntries(secret) };
}

/** A tenant's sealed options cannot be put into another tenant's request. */
const placeFor = (tenant: string): string => `secret options of ${tenant}`;

export const sealOptions = (box: SecretBox, tenant: string, secret: Options): Buffer =>
  box.seal(JSON.stringify(secret), placeFor(tenant));

/** Throws `SecretBoxError`. */
export const openOptions = (box: SecretBox, tenant: string, sealed: Uint8Array): Options =>
  JSON.parse(box.open(sealed, placeFor(tenant))) as Options;
