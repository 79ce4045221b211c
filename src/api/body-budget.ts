/*
 * Bodies that are read whole before they are looked at: JSON, and tensors of the Open Inference
 * Protocol. Together they may take only so much memory. (Media is streamed, and takes none.)
 */
import type { Request, RequestHandler } from 'express';
import { JSON_MEDIA_TYPE } from '../contract/payload.ts';
import { Problem } from './problems.ts';

export function bodyBudget(limits: {
  /** Of all of them together. */
  readonly maxBufferedBytes: number;
  /** Of one that does not say how long it is. */
  readonly maxJsonBytes: number;
}): RequestHandler {
  const { maxBufferedBytes, maxJsonBytes } = limits;
  let buffered = 0;
  return (request, response, next) => {
    if (!isBuffered(request)) {
      next();
      return;
    }
    const isCompressed = request.headers['content-encoding'] !== undefined;
    const length = Number(request.headers['content-length'] ?? maxJsonBytes);
    const bytes = isCompressed ? Math.max(length, maxJsonBytes) : length;
    // One alone is let through: its own limit is looked at where it is read.
    if (buffered > 0 && buffered + bytes > maxBufferedBytes) {
      const detail = `the bodies of other requests take ${buffered} bytes already (BUZZER_MAX_BUFFERED): send it again in a moment`;
      throw new Problem('overloaded', detail);
    }
    if (response.destroyed) return; // it hung up
    buffered += bytes;
    response.once('close', () => {
      buffered -= bytes;
    });
    next();
  };
}

const isBuffered = (request: Request): boolean =>
  request.is('*/*') !== null && (request.is(JSON_MEDIA_TYPE) !== false || isV2(request));

const isV2 = ({ path }: Request): boolean => path.startsWith('/v2/');
