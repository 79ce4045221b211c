/* What browsers are told: what they may do with our answers, and which pages may ask. */
import cors from 'cors';
import type { RequestHandler } from 'express';
import helmet from 'helmet';

const MAX_PREFLIGHT_AGE_S = 600;
/** What pages of other origins may read of an answer. */
const EXPOSED = [
  'Location',
  'Retry-After',
  'X-Request-Id',
  'Idempotency-Replayed',
  'Preference-Applied',
  'RateLimit',
  'RateLimit-Policy',
];

export function browserHeaders(settings: {
  readonly publicUrl: string;
  /** The origins whose pages may use the API; when there are none, only our own pages may. */
  readonly corsOrigins: readonly string[];
}): readonly RequestHandler[] {
  const { publicUrl, corsOrigins } = settings;
  const isSecure = publicUrl.startsWith('https:');
  const headers = helmet({
    contentSecurityPolicy: {
      directives: { upgradeInsecureRequests: isSecure ? [] : null, connectSrc: ["'self'"] },
    },
    strictTransportSecurity: isSecure,
  });
  if (corsOrigins.length === 0) return [headers];
  const crossOrigin = cors({
    origin: [...corsOrigins],
    methods: ['GET', 'POST', 'PATCH', 'DELETE'],
    exposedHeaders: EXPOSED,
    maxAge: MAX_PREFLIGHT_AGE_S,
  });
  return [headers, crossOrigin];
}
