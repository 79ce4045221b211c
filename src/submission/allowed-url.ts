import { type AddressPolicy, ForbiddenUrlError } from '../outbound/address-policy.ts';
import { invalidAt } from '../contract/refusal.ts';

/** Refuses a URL that we may not send requests to, as far as that can be told before its name is resolved. */
export function requireAllowedUrl(text: string, policy: AddressPolicy, pointer: string): URL {
  try {
    return policy.checkGivenUrl(text);
  } catch (error) {
    if (!(error instanceof ForbiddenUrlError)) throw error;
    throw invalidAt(pointer, error.message);
  }
}
