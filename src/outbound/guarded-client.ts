/*
 * The one way to somebody else's server.
 *
 * G1  An address is checked before it is connected to, and exactly the checked ones are connected to:
 *     what DNS says a moment later does not matter.
 * G2  One forbidden address among a name's answers forbids the name.
 * G3  A redirect is an answer, or a new request that is checked like the first.
 * G4  The deadline covers everything, from the name to the last byte that the caller reads.
 * G5  The connection is gone when `send` has settled, however much the other side would still say.
 */
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { addressLiteral, type AddressPolicy, ForbiddenUrlError } from './address-policy.ts';
import { resolveAddresses, type ResolveAddresses } from './resolver.ts';

const MAX_INTERIM_ANSWERS = 10;
const MAX_HEADER_BYTES = 16 * 1024;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/** All that a tenant learns of a request without an answer. It is too little to scan a network with. */
export type OutboundErrorCode =
  /** The URL leads to where requests may not go. */
  | 'forbidden'
  /** The name does not exist, nobody listens, or the connection broke. */
  | 'unreachable'
  | 'timeout'
  /** The certificate cannot be trusted, or TLS failed otherwise. */
  | 'tls_failed'
  /** The answer is not HTTP. */
  | 'bad_answer';

export class OutboundError extends Error {
  override readonly name = 'OutboundError';
  readonly code: OutboundErrorCode;
  /** `message` may be shown to the tenant; the cause is for the operator. */
  constructor(code: OutboundErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface OutboundRequest {
  readonly url: string;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly deadlineMs: number;
  /** How long the other side may be silent; without it only the deadline counts. */
  readonly maxSilenceMs?: number;
  /** How many redirects are followed, each checked. One more is an error. With 0 a redirect is an ordinary answer. */
  readonly maxRedirects: number;
  readonly signal?: AbortSignal;
}

export interface OutboundAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** The body, inflated while it is read; throws `OutboundError`. It need not be read to its end. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface GuardedClient {
  /**
   * Sends a request and hands its answer to `read`. Throws `OutboundError`, what `read` throws, or
   * the signal's reason.
   */
  send<T>(request: OutboundRequest, read: (answer: OutboundAnswer) => Promise<T>): Promise<T>;
}

export function createGuardedClient(
  policy: AddressPolicy,
  resolve: ResolveAddresses = resolveAddresses,
): GuardedClient {
  return {
    async send(request, read) {
      const stop = new AbortController();
      const late = new OutboundError('timeout', `no answer within ${request.deadlineMs} ms`);
      const timer = setTimeout(() => stop.abort(late), request.deadlineMs);
      const cancel = () => stop.abort(request.signal?.reason);
      request.signal?.addEventListener('abort', cancel, { once: true });
      if (request.signal?.aborted === true) cancel();
      try {
        const answer = follow(request, read, { policy, resolve, signal: stop.signal });
        return await Promise.race([answer, aborted(stop.signal)]); // also when the request is stuck somewhere
      } catch (error) {
        throw stop.signal.aborted ? stop.signal.reason : error;
      } finally {
        clearTimeout(timer);
        request.signal?.removeEventListener('abort', cancel);
        stop.abort(); // closes whatever is still open
      }
    },
  };
}

async function aborted(signal: AbortSignal): Promise<never> {
  return await new Promise((_resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

interface Hop {
  readonly policy: AddressPolicy;
  readonly resolve: ResolveAddresses;
  readonly signal: AbortSignal;
}

async function follow<T>(
  request: OutboundRequest,
  read: (answer: OutboundAnswer) => Promise<T>,
  hop: Hop,
): Promise<T> {
  let url = request.url;
  for (let redirects = 0; ; redirects++) {
    const checked = checkUrl(url, hop.policy);
    const message = await exchange(checked, await addressesOf(checked, hop), request, hop.signal);
    try {
      const { statusCode: status = 0, headers } = message;
      const isFollowed = REDIRECTS.includes(status) && request.maxRedirects > 0;
      if (!isFollowed) return await read({ status, headers, body: chunksOf(message, checked) });
      if (redirects === request.maxRedirects) {
        throw new OutboundError('bad_answer', `more than ${request.maxRedirects} redirects`);
      }
      url = redirectTarget(headers.location, checked);
    } finally {
      message.destroy();
    }
  }
}

function checkUrl(text: string, policy: AddressPolicy): URL {
  try {
    return policy.checkUrl(text);
  } catch (error) {
    if (!(error instanceof ForbiddenUrlError)) throw error;
    throw new OutboundError('forbidden', error.message, { cause: error });
  }
}

async function addressesOf(url: URL, { policy, resolve, signal }: Hop): Promise<readonly string[]> {
  const literal = addressLiteral(url.hostname);
  const addresses =
    literal === null
      ? await resolve(url.hostname, signal).catch((cause: unknown) => {
          throw new OutboundError('unreachable', `${url.hostname} cannot be resolved`, { cause });
        })
      : [literal];
  if (addresses.length > 0 && addresses.every((address) => policy.permits(address, url))) {
    return addresses;
  }
  throw new OutboundError('forbidden', `${url.host} is not where requests may go`);
}

/** One request to one of these addresses; resolves with the head of the answer. */
async function exchange(
  url: URL,
  addresses: readonly string[],
  { method, headers, body, maxSilenceMs }: OutboundRequest,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  return await new Promise((resolve, reject) => {
    const outgoing = send(url, {
      method,
      headers: { ...headers, ...(body === undefined ? {} : { 'Content-Length': body.length }) },
      agent: false, // a connection of its own, so that its address is one of those just checked
      lookup: pinnedTo(addresses),
      maxHeaderSize: MAX_HEADER_BYTES,
      rejectUnauthorized: true,
      signal,
    });
    let answer: IncomingMessage | null = null;
    outgoing.setTimeout(maxSilenceMs ?? 0, () => {
      const silence = new OutboundError('timeout', `${url.host} said nothing for too long`);
      (answer ?? outgoing).destroy(silence);
    });
    let interim = 0; // answers such as 103, of which there may be any number before the real one
    outgoing.on('information', () => {
      interim += 1;
      if (interim <= MAX_INTERIM_ANSWERS) return;
      outgoing.destroy(new OutboundError('bad_answer', `${url.host} does not come to its answer`));
    });
    outgoing.once('response', (message) => {
      answer = message.on('error', () => {}); // whoever reads the body gets the error
      resolve(message);
    });
    outgoing.on('error', (error) => reject(toOutboundError(error, url, 'cannot be reached')));
    outgoing.once('upgrade', (_message, socket) => {
      socket.destroy();
      reject(
        new OutboundError('bad_answer', `${url.host} wants to speak something else than HTTP`),
      );
    });
    outgoing.end(body);
  });
}

/** A `lookup` for Node that answers with exactly these addresses. */
const pinnedTo =
  (addresses: readonly string[]): LookupFunction =>
  (_hostname, options, done) => {
    const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    const [first] = found;
    if (options.all === true) done(null, found);
    else done(null, first?.address ?? '', first?.family);
  };

function redirectTarget(location: string | undefined, from: URL): string {
  if (location === undefined || !URL.canParse(location, from.href)) {
    throw new OutboundError('bad_answer', 'a redirect without a place to go');
  }
  return new URL(location, from).href;
}

async function* chunksOf(message: IncomingMessage, url: URL): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of inflated(message)) yield chunk as Buffer;
  } catch (error) {
    throw toOutboundError(error, url, 'broke off');
  }
}

function inflated(message: IncomingMessage): Readable {
  const encoding = message.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (encoding === 'identity' || encoding === '') return message;
  const inflate = inflaterOf(encoding);
  message.once('error', (error) => inflate.destroy(error));
  message.once('close', () => {
    if (!message.readableEnded) inflate.destroy(new Error('the connection broke'));
  });
  inflate.on('error', () => {}); // whoever reads the body gets the error
  return message.pipe(inflate);
}

function inflaterOf(encoding: string) {
  switch (encoding) {
    case 'gzip':
    case 'x-gzip':
      return createGunzip();
    case 'deflate':
      return createInflate();
    case 'br':
      return createBrotliDecompress();
    default:
      throw new OutboundError('bad_answer', 'the answer has an encoding that is not known here');
  }
}

function toOutboundError(error: unknown, { host }: URL, what: string): OutboundError {
  if (error instanceof OutboundError) return error;
  const { code = '' } = error as NodeJS.ErrnoException;
  const options = { cause: error };
  if (isTlsCode(code)) {
    return new OutboundError('tls_failed', `${host} did not prove who it is (TLS)`, options);
  }
  if (code.startsWith('HPE_') || code.startsWith('Z_') || code.startsWith('ERR__ERROR')) {
    return new OutboundError('bad_answer', `${host} did not answer in HTTP`, options);
  }
  return new OutboundError('unreachable', `${host} ${what}`, options);
}

const isTlsCode = (code: string): boolean =>
  /^(?:ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|INVALID_CA|EPROTO)/.test(
    code,
  );
