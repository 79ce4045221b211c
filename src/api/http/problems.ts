/* Codes → RFC 9457 problems, and the one place where errors become answers. */
import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import type { Logger } from '../../telemetry/logger.ts';
import {
  MAX_ERRORS,
  Refusal,
  type RefusalCode,
  type RefusalDetail,
  type RefusalOptions,
} from '../../contract/refusal.ts';
import { WrongHashError } from '../../files/files.ts';
import { InvalidMediaError } from '../../pipelines/index.ts';
import {
  PayloadNotFoundError,
  PayloadCorruptError,
  PayloadTooLargeError,
  StorageError,
  StorageLimitError,
} from '../../storage/payload-store.ts';
import { EndpointNotFoundError, TooManyEndpointsError } from '../../webhooks/endpoints.ts';
import { SecretBoxError } from '../../secrets/secret-box.ts';
import { TooManySecretsError } from '../../webhooks/secrets.ts';
import { contextOf } from './context.ts';
import { type Dialect, PROBLEM_JSON } from './dialect.ts';
import { linger } from './linger.ts';
import { EngineUnavailableError, WorkflowMissingError } from '../../temporal/timely-calls.ts';

/** The codes of refusals, and those that only HTTP has. */
export type ProblemCode =
  | RefusalCode
  | 'malformed_request'
  | 'unauthorized'
  | 'forbidden'
  | 'method_not_allowed'
  | 'request_timeout'
  | 'unsupported_media_type'
  | 'inference_failed'
  | 'not_ended';

interface ProblemOptions extends RefusalOptions {
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer that is an error. `message` is its `detail`: what happened and what to do. */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly code: ProblemCode;
  readonly options: ProblemOptions;
  constructor(code: ProblemCode, message: string, options: ProblemOptions = {}) {
    super(message, options);
    this.code = code;
    this.options = options;
  }
}

/** Has every error of a request, also of one that is refused before its router, look so. */
export const speak =
  (dialect: Dialect): RequestHandler =>
  (_request, response, next) => {
    contextOf(response).dialect = dialect;
    next();
  };

/** The `Retry-After` of a 503 that does not say when. */
const RETRY_SOON_MS = 1000;
/** Within this time the stored bytes of a tenant are measured again. */
const RETRY_WHEN_MEASURED_MS = 60_000;

function describeCode(code: ProblemCode): readonly [status: number, title: string] {
  switch (code) {
    case 'malformed_request':
      return [400, 'The request cannot be understood'];
    case 'unauthorized':
      return [401, 'An API key is needed'];
    case 'forbidden':
      return [403, 'This is not allowed'];
    case 'not_found':
      return [404, 'There is no such thing'];
    case 'model_not_found':
      return [404, 'There is no such model'];
    case 'method_not_allowed':
      return [405, 'The method is not allowed here'];
    case 'request_timeout':
      return [408, 'The body came too slowly'];
    case 'not_ready':
      return [409, 'It ended without an output'];
    case 'still_running':
      return [409, 'It has not ended yet'];
    case 'not_changeable':
      return [409, 'The prediction cannot be changed now'];
    case 'expired':
      return [410, 'The result has expired'];
    case 'data_removed':
      return [410, 'The data has been removed'];
    case 'payload_too_large':
      return [413, 'The body is too large'];
    case 'unsupported_media_type':
      return [415, 'The media type is not supported here'];
    case 'idempotency_mismatch':
      return [422, 'The Idempotency-Key belongs to another request'];
    case 'invalid_input':
      return [422, 'The request is well-formed but cannot be accepted'];
    case 'rate_limited':
      return [429, 'Too many requests'];
    case 'storage_limit':
      return [429, 'Too much is stored already'];
    case 'payload_corrupt':
      return [500, 'The data is no longer what was stored'];
    case 'internal':
      return [500, 'Something went wrong on our side'];
    case 'inference_failed':
      return [500, 'The inference failed'];
    case 'not_ended':
      return [503, 'The prediction has not ended yet'];
    case 'overloaded':
      return [503, 'There is too much to do already'];
    case 'engine_unavailable':
      return [503, 'The workflow engine does not answer'];
    case 'storage_unavailable':
      return [503, 'The payload store does not answer'];
    case 'model_unavailable':
      return [503, 'The model cannot be served now'];
  }
}

/** What a problem would be answered with, for what is told when the status has been sent already. */
export function problemOf(error: unknown): {
  readonly code: ProblemCode;
  readonly status: number;
  readonly detail: string;
  readonly [member: string]: unknown;
} {
  const { code, message, options } = toProblem(error);
  const detail = cut(message, MAX_DETAIL_CHARS);
  return { code, status: describeCode(code)[0], detail, ...options.members };
}

const needsPerson = (error: unknown): boolean =>
  error instanceof SecretBoxError || (error instanceof StorageError && error.needsPerson);

/** Codes that the log shows as errors: a person must look into them. */
const LOUD: ReadonlySet<ProblemCode> = new Set(['internal', 'payload_corrupt']);

/** Express's last handler: every error leaves as problem+json. */
export const problemHandler =
  (logger: Logger): ErrorRequestHandler =>
  (error, request, response, next) => {
    if (response.destroyed) return; // the client hung up: nobody reads an answer
    const problem = toProblem(error);
    if (LOUD.has(problem.code) || needsPerson(error)) {
      logger.error({ err: error, request_id: contextOf(response).requestId }, 'a request failed');
    }
    if (response.headersSent) {
      if (!response.writableEnded) response.destroy(); // the client sees that the answer is cut
      return;
    }
    try {
      sendProblem(request, response, problem);
    } catch (failure) {
      logger.error({ err: failure }, 'an error could not be answered');
      next(failure);
    }
  };

/** How much of a client's own words an answer repeats. */
const MAX_DETAIL_CHARS = 2000;
const MAX_POINTER_CHARS = 300;
const MAX_LOGGED_CHARS = 200;
const cut = (text: string, maxChars: number): string =>
  text.length <= maxChars ? text : `${text.slice(0, maxChars - 1)}…`;

/** Answers with a problem and gives up the rest of a body, with whoever is reading it. */
export function cutOff(request: Request, response: Response, problem: Problem): void {
  const body = beginProblem(response, problem);
  response.set('Connection', 'close');
  response.write(body, () => request.destroy());
}

/** Answers with a problem, also while the request's body is still coming. */
function sendProblem(request: Request, response: Response, problem: Problem): void {
  const body = beginProblem(response, problem);
  if (request.complete) {
    response.end(body);
    return;
  }
  response.set('Connection', 'close'); // there is a body on it, which nobody has read
  response.write(body);
  linger(request, () => response.end()); // which also ends the connection
}

/** Sets the status and the headers of a problem; returns its body. */
function beginProblem(response: Response, problem: Problem): string {
  const { requestId, dialect = PROBLEM_JSON } = contextOf(response);
  const [ownStatus, title] = describeCode(problem.code);
  const status = dialect.statusOf?.(ownStatus) ?? ownStatus;
  const { errors, members, headers, retryAfterMs } = problem.options;
  const detail = cut(problem.message, MAX_DETAIL_CHARS);
  contextOf(response).refusal = { code: problem.code, detail: cut(detail, MAX_LOGGED_CHARS) };
  const errorBody = dialect.errorBody({
    type: 'about:blank',
    title,
    status,
    detail,
    code: problem.code,
    ...(errors === undefined ? {} : { errors: errors.slice(0, MAX_ERRORS).map(cutError) }),
    ...members,
    request_id: requestId,
  });
  const body = JSON.stringify(errorBody);
  response.setHeader('Content-Type', dialect.errorType);
  const waitMs = retryAfterMs ?? (status === 503 ? RETRY_SOON_MS : null);
  response.status(status).set({ ...headers });
  if (waitMs !== null) response.set('Retry-After', String(Math.ceil(waitMs / 1000)));
  response.set('Content-Length', String(Buffer.byteLength(body)));
  return body;
}

const cutError = ({ pointer, detail }: RefusalDetail): RefusalDetail => ({
  pointer: cut(pointer, MAX_POINTER_CHARS),
  detail: cut(detail, MAX_DETAIL_CHARS),
});

/** Answers when answering an error has failed as well. Express's own handler would show a stack. */
export const lastHandler: ErrorRequestHandler = (_error, _request, response, _next) => {
  if (response.headersSent) response.destroy();
  else response.writeHead(500, { 'Content-Type': 'application/problem+json' }).end(LAST_WORD);
};

const LAST_WORD = JSON.stringify({
  type: 'about:blank',
  title: 'Something went wrong on our side',
  status: 500,
  detail: 'an unexpected error; it was logged',
  code: 'internal',
});

function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof Refusal) return new Problem(error.code, error.message, error.options);
  if (error instanceof WorkflowMissingError) {
    return new Problem('not_found', `there is no ${error.id}, or it is no longer kept`);
  }
  if (error instanceof EngineUnavailableError) {
    return new Problem('engine_unavailable', `${error.message}. Try again in a moment`);
  }
  if (error instanceof PayloadNotFoundError) {
    return new Problem('data_removed', 'this data is no longer in the payload store');
  }
  if (error instanceof PayloadCorruptError) {
    const detail = 'what the payload store holds is not what was stored; it was logged';
    return new Problem('payload_corrupt', detail);
  }
  if (error instanceof StorageLimitError) {
    return new Problem('storage_limit', error.message, { retryAfterMs: RETRY_WHEN_MEASURED_MS });
  }
  if (error instanceof StorageError && error.isFull) {
    const detail = 'there is no room for payloads. Try again later; reading and deleting go on';
    return new Problem('storage_unavailable', detail);
  }
  if (error instanceof StorageError) {
    return new Problem('storage_unavailable', 'the payload store cannot be used. Try again later');
  }
  if (error instanceof PayloadTooLargeError) {
    return new Problem('payload_too_large', `the body may have at most ${error.maxBytes} bytes`);
  }
  if (error instanceof SecretBoxError) {
    const detail = 'what is kept of your webhooks cannot be read; the log of the service says why';
    return new Problem('storage_unavailable', detail);
  }
  if (error instanceof EndpointNotFoundError) return new Problem('not_found', error.message);
  if (error instanceof TooManyEndpointsError) return new Problem('invalid_input', error.message);
  if (error instanceof TooManySecretsError) {
    return new Problem('rate_limited', error.message, { retryAfterMs: error.retryAfterMs });
  }
  if (error instanceof WrongHashError) return new Problem('invalid_input', error.message);
  if (error instanceof InvalidMediaError) return new Problem('invalid_input', error.message);
  return expressProblem(error) ?? new Problem('internal', 'an unexpected error; it was logged');
}

/** What Express's router throws; it marks its errors with `status`. */
function expressProblem(error: unknown): Problem | null {
  if (!(error instanceof Error) || !('status' in error)) return null;
  if (error instanceof URIError) {
    return new Problem('malformed_request', 'the path is not validly percent-encoded');
  }
  return error.status === 400 ? new Problem('malformed_request', error.message) : null;
}
