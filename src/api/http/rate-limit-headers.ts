import type { Allowance } from '../../submission/quotas.ts';

const WINDOW_S = 60;

/** What a tenant has left: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ */
export function rateLimitHeaders({
  inFlight,
  perMinute,
}: Allowance): Readonly<Record<string, string>> {
  const policies = [`"in-flight";q=${inFlight.most}`];
  const states = [`"in-flight";r=${inFlight.left}`];
  if (perMinute !== null) {
    policies.push(`"per-minute";q=${perMinute.most};w=${WINDOW_S}`);
    states.push(`"per-minute";r=${perMinute.left};t=${WINDOW_S}`);
  }
  return { 'RateLimit-Policy': policies.join(', '), RateLimit: states.join(', ') };
}
