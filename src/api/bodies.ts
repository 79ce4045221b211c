/*
 * Bodies that are read whole before they are looked at: JSON, and the tensors of the Open Inference
 * Protocol. Together they may take only so much memory. (Media is streamed, and takes none.)
 */
import { isUtf8 } from 'node:buffer';
import express, { type Request, type RequestHandler, type Response } from 'express';
import { JSON_MEDIA_TYPE } from '../contract/payload.ts';
import { Problem } from './problems.ts';

export interface BodyLimits {
  /** Of all of them together. */
  readonly maxBufferedBytes: number;
  /** Of one of JSON. */
  readonly maxJsonBytes: number;
}

/** As Express's own: it says nothing of the path, and so leaves a route's parameters what they are. */
type Reader = ReturnType<typeof express.json>;

export class Bodies {
  /** Reads a body that is JSON; others are left as they are. */
  readonly json: Reader;
  readonly #maxBufferedBytes: number;
  #bufferedBytes = 0;

  constructor({ maxBufferedBytes, maxJsonBytes }: BodyLimits) {
    this.#maxBufferedBytes = maxBufferedBytes;
    const parse = express.json({ limit: maxJsonBytes, type: JSON_MEDIA_TYPE, verify: requireUtf8 });
    this.json = this.#reader(
      parse,
      maxJsonBytes,
      (request) => request.is(JSON_MEDIA_TYPE) !== false,
    );
  }

  /** Reads any body, of so many bytes at most. */
  bytes(maxBytes: number): Reader {
    const read = express.raw({ limit: maxBytes, type: () => true });
    return this.#reader(read, maxBytes, () => true);
  }

  #reader(read: Reader, maxBytes: number, isMeant: (request: Request) => boolean): Reader {
    const reserving: RequestHandler = (request, response, next) => {
      if (isMeant(request)) this.#reserve(request, response, maxBytes);
      read(request, response, next);
    };
    return reserving as Reader;
  }

  /** Makes room for what a request says it brings; throws the problem `overloaded` when there is none. */
  #reserve(request: Request, response: Response, maxBytes: number): void {
    if (request.is('*/*') === null || response.destroyed) return; // no body, or nobody
    const isCompressed = request.headers['content-encoding'] !== undefined;
    const declared = Number(request.headers['content-length'] ?? maxBytes);
    const bytes = isCompressed ? maxBytes : Math.min(declared, maxBytes); // no more is ever read
    if (this.#bufferedBytes > 0 && this.#bufferedBytes + bytes > this.#maxBufferedBytes) {
      const detail = `the bodies of other requests take ${this.#bufferedBytes} bytes already (BUZZER_MAX_BUFFERED): send it again in a moment`;
      throw new Problem('overloaded', detail);
    }
    this.#bufferedBytes += bytes;
    let isHeld = true;
    const release = () => {
      if (isHeld) this.#bufferedBytes -= bytes;
      isHeld = false;
    };
    response.locals['releaseBody'] = release;
    response.once('close', release);
  }
}

/** What is no UTF-8 would be replaced without a word. */
function requireUtf8(_request: unknown, _response: unknown, body: Buffer): void {
  if (!isUtf8(body)) throw new Problem('malformed_request', 'the body is not UTF-8');
}

/** The body has been seen to: what follows, such as waiting, is done without it. */
export function releaseBody(response: Response): void {
  const release = response.locals['releaseBody'] as (() => void) | undefined;
  response.req.body = undefined;
  release?.();
}
