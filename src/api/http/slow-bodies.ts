/*
 * A body that comes too slowly holds a connection, and whatever was reserved for it. It is cut: the
 * client is told 408. Time in which we ourselves do not read is not counted against it.
 */
import type { Request, RequestHandler, Response } from 'express';
import { hasBody } from './bodies.ts';
import { Problem } from './problems.ts';

const WINDOW_MS = 10_000;
/** Within a window: 1 KiB a second, a tenth of what the slowest mobile network brings. */
const MIN_BYTES = 10 * 1024;
const LOOK_EVERY_MS = 1000;

interface Arriving {
  readonly request: Request;
  readonly response: Response;
  bytesBefore: number;
  sinceMs: number;
}

/** `refuse` answers a request whose body has yet to end. */
export function cutSlowBodies(
  refuse: (request: Request, response: Response, problem: Problem) => void,
): RequestHandler {
  const arriving = new Set<Arriving>();
  let timer: NodeJS.Timeout | null = null;
  const look = () => {
    const nowMs = performance.now();
    for (const each of arriving) {
      const { request, response, bytesBefore, sinceMs } = each;
      const bytesRead = bytesReadOf(request);
      const isOver = request.complete || request.destroyed || response.headersSent;
      if (isOver || bytesRead === null) arriving.delete(each);
      else if (isWaitingForUs(request) || bytesRead - bytesBefore >= MIN_BYTES) {
        Object.assign(each, { bytesBefore: bytesRead, sinceMs: nowMs });
      } else if (nowMs - sinceMs > WINDOW_MS) {
        arriving.delete(each);
        const detail = `the body came slower than ${MIN_BYTES} bytes in ${WINDOW_MS / 1000} s: send it again`;
        refuse(request, response, new Problem('request_timeout', detail));
      }
    }
    if (arriving.size > 0 || timer === null) return;
    clearInterval(timer);
    timer = null;
  };
  return (request, response, next) => {
    const bytesRead = bytesReadOf(request);
    if (hasBody(request) && !request.complete && bytesRead !== null) {
      const entry = { request, response, bytesBefore: bytesRead, sinceMs: performance.now() };
      arriving.add(entry);
      response.once('close', () => arriving.delete(entry));
      timer ??= setInterval(look, LOOK_EVERY_MS).unref();
    }
    next();
  };
}

/** Null: the client has hung up, and Node has taken the socket away, whatever its types say. */
const bytesReadOf = (request: Request): number | null =>
  (request.socket as Request['socket'] | null)?.bytesRead ?? null;

/** Bytes lie ready that we have not taken, or we have yet to begin. */
const isWaitingForUs = (request: Request): boolean =>
  request.readableLength > 0 || request.readableFlowing === null || request.isPaused();
