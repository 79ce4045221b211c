/*
 * Who asks, and may they? Each request has a tenant before any route sees it. The tenant is the
 * key's, never what a header or a body says.
 */
import type { Request, RequestHandler, Response } from 'express';
import { type ApiKey, hasExpired, type Scope } from '../../access/api-key.ts';
import type { KnownKeys } from '../../access/known-keys.ts';
import { methodsAt, operationOf, requireKnownQuery } from '../operations.ts';
import { contextOf } from './context.ts';
import { Problem } from './problems.ts';

/** The tenant of every request where there are no keys. */
const DEFAULT_TENANT = 'default';

export interface AccessSettings {
  /** Null: nobody needs a key. */
  readonly keys: KnownKeys | null;
  /** Only this machine can reach the API. Without keys, a web page that its browser shows must not use it. */
  readonly isLoopback: boolean;
  readonly publicUrl: string;
  readonly corsOrigins: readonly string[];
}

/** Refuses a request that asks for no operation, or whose key does not allow the operation. */
export function requireAccess({ keys, ...settings }: AccessSettings): RequestHandler {
  const requireOwnPage = ownPages(settings);
  return async (request, response, next) => {
    const allowed = request.method === 'OPTIONS' ? methodsAt(request.path) : '';
    if (allowed !== '') {
      response.status(204).set('Allow', allowed).end();
      return;
    }
    if ((request.headersDistinct['host'] ?? []).length > 1) {
      throw new Problem('malformed_request', 'there is more than one Host');
    }
    const operation = operationOf(request);
    const context = contextOf(response);
    context.operation = operation.id;
    context.tenant = DEFAULT_TENANT;
    if (keys === null) {
      context.mayRead = true;
      if (operation.scope !== null) requireOwnPage(request);
    } else if (operation.scope === null) {
      const reader = await keyFor(request, 'read', keys).catch(() => null);
      context.mayRead = reader !== null;
    } else {
      const key = await keyFor(request, operation.scope, keys);
      context.tenant = key.tenant;
      context.keyId = key.id;
      context.mayRead = key.scopes.includes('read');
      const stopWatching = keys.watch(key.id, () => {
        context.isRevoked = true;
        const isHeard = response.emit(REVOKED);
        // During a download nothing listens for the revocation, so the connection is cut.
        if (!isHeard && response.headersSent) response.destroy();
      });
      if (response.destroyed)
        stopWatching(); // the client hung up while we looked at its key
      else response.once('close', stopWatching);
    }
    requireKnownQuery(operation, request.query);
    if (request.headers.expect?.toLowerCase() === '100-continue') response.writeContinue();
    next();
  };
}

/** The tenant whose request this answers. */
export const tenantOf = (response: Response): string => contextOf(response).tenant;

/** Emitted on a response whose key was revoked, or has expired, while it is being answered. */
const REVOKED = 'revoked';

/**
 * Calls `listener` when the key of an answer is no longer good, at once if it is so already; what it
 * returns ends that.
 */
export function onRevoked(response: Response, listener: () => void): () => void {
  if (contextOf(response).isRevoked === true) listener();
  else response.once(REVOKED, listener);
  return () => void response.off(REVOKED, listener);
}

/** The key that was good when the request came is no longer. */
export const revokedProblem = (): Problem =>
  unauthorized('the API key was revoked, or has expired, while this was being answered');

/** Whether an answer may show what needs the scope `read`: inputs and outputs above all. */
export const mayRead = (response: Response): boolean => contextOf(response).mayRead === true;

/** Refuses to answer with outputs to a key without the scope `read`, with what it may do instead. */
export function requireReader(response: Response, advice: string): void {
  if (!mayRead(response)) throw new Problem('forbidden', `the answer is the output: ${advice}`);
}

async function keyFor(request: Request, scope: Scope, keys: KnownKeys): Promise<ApiKey> {
  const given = request.headersDistinct['authorization'] ?? [];
  if (given.length > 1)
    throw new Problem('malformed_request', 'there is more than one Authorization');
  const [, token] = /^Bearer +(\S+) *$/i.exec(given[0] ?? '') ?? [];
  if (token === undefined) {
    throw unauthorized('show an API key: Authorization: Bearer bz_…', 'Bearer');
  }
  const key = await keys.find(token);
  if (key === null) throw unauthorized('the API key is not known here, or was revoked');
  if (hasExpired(key)) {
    throw unauthorized(`the API key ${key.id} expired at ${key.expires_at}`);
  }
  if (key.scopes.includes(scope)) return key;
  const detail = `this needs the scope ${scope}; the API key ${key.id} has ${key.scopes.join(', ')}`;
  throw new Problem('forbidden', detail);
}

function unauthorized(detail: string, challenge = 'Bearer error="invalid_token"'): Problem {
  return new Problem('unauthorized', detail, { headers: { 'WWW-Authenticate': challenge } });
}

/**
 * Without keys, a browser on this machine could be made to use the API by any page it shows: with a
 * form, or by a name that resolves to us (DNS rebinding). Both give themselves away by a header.
 */
function ownPages({
  isLoopback,
  publicUrl,
  corsOrigins,
}: Omit<AccessSettings, 'keys'>): (request: Request) => void {
  const ownHost = new URL(publicUrl).host;
  const isOwn = (host: string) => host === ownHost || LOOPBACK_HOST.test(host);
  return (request) => {
    if (!isLoopback) return;
    const host = request.get('Host') ?? '';
    if (!isOwn(host)) {
      throw new Problem(
        'forbidden',
        `without API keys, only requests for hosts of this machine are answered, and not for ${host}: ` +
          'to use that name, set BUZZER_PUBLIC_URL',
      );
    }
    const origin = request.get('Origin');
    if (origin === undefined || corsOrigins.includes(origin)) return;
    if (URL.canParse(origin) && isOwn(new URL(origin).host)) return;
    const detail = `without API keys this is not answered for pages of ${origin} (BUZZER_CORS_ORIGINS)`;
    throw new Problem('forbidden', detail);
  };
}

const LOOPBACK_HOST = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/i;
