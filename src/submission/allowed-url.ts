import { type AddressPolicy, ForbiddenUrlError } from '../outbound/address-policy.ts';
import { Refusal } from '../contract/refusal.ts';

/** A URL that we may send requests to, as far as that can be told now; else a 422 that says why. */
export function requireAllowedUrl(text: string, policy: AddressPolicy, pointer: string): URL {
  try {
    return policy.checkGivenUrl(text);
  } catch (error) {
    if (!(error instanceof ForbiddenUrlError)) throw error;
    const errors = [{ pointer, detail: error.message }];
    throw new Refusal('invalid_input', `${pointer}: ${error.message}`, { errors });
  }
}
