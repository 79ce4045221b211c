/* The answer that is an input or an output, as it is. */
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Request, Response } from 'express';
import type { Json, Stored } from '../../contract/payload.ts';
import { openClaim, SMALL_BYTES } from '../../storage/claims.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import { roomFor } from './answers.ts';
import { wantedBytes } from './byte-range.ts';

/** Answers with a value; with nothing when the client says that it has it. */
export async function sendStored(
  request: Request,
  response: Response,
  stored: Stored,
  store: PayloadStore,
): Promise<void> {
  if (stored.kind === 'inline') {
    response.json(stored.value satisfies Json);
    return;
  }
  const { bytes, media_type: mediaType, sha256 } = stored.claim;
  const etag = `"${sha256}"`;
  if (isKnown(request, etag)) {
    response.set('ETag', etag).status(304).end();
    return;
  }
  const wanted = wantedBytes(request, bytes, etag);
  if (wanted.kind === 'none') {
    response.status(416).set('Content-Range', `bytes */${bytes}`).end();
    return;
  }
  const isPiece = wanted.kind === 'piece';
  const length = isPiece ? wanted.bytes : bytes;
  const isHead = request.method === 'HEAD'; // then the payload need not be read
  if (!isHead && bytes > SMALL_BYTES) {
    const signed = await store.presign(stored.claim.key, { method: 'GET', mediaType });
    if (signed !== null) {
      response.set('Cache-Control', 'no-store').redirect(307, signed.url);
      return;
    }
  }
  if (!isHead) roomFor(response).take(Math.min(length, SMALL_BYTES)); // larger ones are read piece by piece
  const opened = isHead ? null : await openClaim(store, stored.claim, isPiece ? wanted : undefined);
  const body = opened === null ? null : await begun(opened);
  response.type(mediaType).set({
    'Content-Length': String(length),
    'Accept-Ranges': 'bytes',
    ETag: etag,
    'Content-Security-Policy': 'sandbox', // a stranger's bytes on our origin
  });
  if (isPiece) {
    const last = wanted.offset + wanted.bytes - 1;
    response.status(206).set('Content-Range', `bytes ${wanted.offset}-${last}/${bytes}`);
  }
  if (body === null) response.end();
  else await pipeline(body, response).catch(() => response.destroy()); // the store or the client ended too early
}

/** A body whose first bytes are there: what is gone by then is answered as such. */
async function begun(body: Readable): Promise<Readable> {
  await once(body, 'readable'); // also at its end
  return body;
}

/** Whether the client has these bytes already: `If-None-Match` (RFC 9110, section 13.1.2). */
function isKnown(request: Request, etag: string): boolean {
  const tags = (request.get('If-None-Match') ?? '').split(',').map((tag) => tag.trim());
  return tags.some((tag) => tag === '*' || tag.replace(/^W\//, '') === etag);
}
