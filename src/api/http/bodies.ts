/*
 * Bodies that are read whole before they are looked at: JSON, and the tensors of the Open Inference
 * Protocol. Together they may take only so much memory, and one tenant's only a share of it. What
 * counts are the bytes that have arrived, not those that a header announces. (Media is streamed, and
 * takes none.)
 */
import type { Readable, Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import type { NextFunction, Request, Response } from 'express';
import { messageOf } from '../../contract/failure.ts';
import { JSON_MEDIA_TYPE } from '../../contract/payload.ts';
import { tenantOf } from './access.ts';
import { contextOf } from './context.ts';
import { parseJson } from './json-text.ts';
import { Problem } from './problems.ts';
import type { HeavyWork } from '../../records/heavy-work.ts';
import type { Shares } from './shares.ts';

/** A middleware that works for any path: it keeps the types of the parameters of its route. */
type Reader = <Params>(
  request: Request<Params>,
  response: Response,
  next: NextFunction,
) => Promise<void>;

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

export interface BodyLimits {
  /** The bytes that all bodies share. */
  readonly shares: Shares;
  /** The limit of one JSON body. */
  readonly maxJsonBytes: number;
  readonly heavyWork: HeavyWork;
}

export class Bodies {
  /** Reads and parses a body that is JSON; others are left as they are. */
  readonly json: Reader;
  readonly #shares: Shares;
  readonly #heavyWork: HeavyWork;

  constructor({ shares, maxJsonBytes, heavyWork }: BodyLimits) {
    this.#shares = shares;
    this.#heavyWork = heavyWork;
    this.json = async (request, response, next) => {
      if (hasBody(request) && request.is(JSON_MEDIA_TYPE) !== false) {
        requireUtf8Charset(request);
        const bytes = await this.read(request as Request, response, maxJsonBytes);
        await this.#beginParsing(response, bytes.length);
        request.body = bytes.length === 0 ? {} : jsonOf(bytes);
        await this.#heavyWork.turn(bytes.length); // the value is checked in another turn
      }
      next();
    };
  }

  /** Reads any body, of so many bytes at most; `jsonBytesIn` says how much of it is JSON. */
  bytes(maxBytes: number, jsonBytesIn: (request: Request, body: Buffer) => number): Reader {
    return async (request, response, next) => {
      if (hasBody(request)) {
        const body = await this.read(request as Request, response, maxBytes);
        await this.#beginParsing(response, jsonBytesIn(request as Request, body));
        request.body = body;
      }
      next();
    };
  }

  /** Waits until so much JSON may be parsed. It counts until the answer is over, or `releaseBody`. */
  async #beginParsing(response: Response, jsonBytes: number): Promise<void> {
    const end = await this.#heavyWork.begin(jsonBytes);
    const context = contextOf(response);
    const { releaseBody: release } = context;
    context.releaseBody = () => {
      release?.();
      end();
    };
    response.once('close', end);
    if (response.destroyed) end(); // the client hung up meanwhile
    await this.#heavyWork.turn(jsonBytes);
  }

  /** Reads the whole body. Its bytes are counted until the answer is over, or `releaseBody` is called. */
  async read(request: Request, response: Response, maxBytes: number): Promise<Buffer> {
    if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
    const decoder = decoderOf(request);
    const tenant = tenantOf(response);
    let held = 0;
    const release = () => {
      this.#shares.giveBack(tenant, held);
      held = 0;
    };
    contextOf(response).releaseBody = release;
    response.once('close', release);
    const body = await collect(request, decoder, (bytes) => {
      if (held + bytes > maxBytes) throw tooLarge(maxBytes);
      if (!this.#shares.admits(tenant, bytes, held)) {
        const held = `the bodies of other requests take ${this.#shares.taken} bytes already`;
        const detail = `${held} (BUZZER_MAX_BUFFERED): send the request again in a moment`;
        throw new Problem('overloaded', detail);
      }
      if (response.destroyed) throw new Problem('malformed_request', 'the body breaks off');
      this.#shares.take(tenant, bytes);
      held += bytes;
    });
    contextOf(response).bodyBytes = body.length;
    return body;
  }
}

/** The bytes of a body; `admit` is told of each piece first, and may throw. */
async function collect(
  request: Request,
  decoder: Transform | null,
  admit: (bytes: number) => void,
): Promise<Buffer> {
  const source: Readable = decoder === null ? request : request.pipe(decoder);
  const chunks: Buffer[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      // An async iterator would destroy the request when it ends early, and our answer with it.
      source.on('data', (chunk: Buffer) => {
        try {
          admit(chunk.length);
          chunks.push(chunk);
        } catch (error) {
          reject(error);
        }
      });
      source.once('end', resolve);
      source.once('error', (error) => {
        reject(new Problem('malformed_request', `the body cannot be read: ${messageOf(error)}`));
      });
      request.once('close', () => {
        if (!request.complete) reject(new Problem('malformed_request', 'the body breaks off'));
      });
    });
    return Buffer.concat(chunks);
  } finally {
    source.removeAllListeners('data');
    if (decoder !== null) {
      request.unpipe(decoder);
      decoder.destroy();
    }
  }
}

function jsonOf(bytes: Buffer): unknown {
  const value = parseJson(bytes, 'the body');
  if (typeof value === 'object' && value !== null) return value;
  throw new Problem('malformed_request', 'the body must be a JSON object');
}

/** The decoder that `Content-Encoding` asks for; null when the bytes are not encoded. */
function decoderOf(request: Request): Transform | null {
  const encoding = (request.get('Content-Encoding') ?? 'identity').toLowerCase();
  if (encoding === 'identity') return null;
  const create = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
  if (create !== undefined) return create();
  const known = Object.keys(DECODERS).join(', ');
  const detail = `Content-Encoding: ${encoding} is not known here: send ${known}, or no encoding`;
  throw new Problem('unsupported_media_type', detail);
}

function requireUtf8Charset(request: Pick<Request, 'headers'>): void {
  const type = request.headers['content-type'] ?? '';
  const [, charset = 'utf-8'] = /;\s*charset="?([^";\s]+)/i.exec(type) ?? [];
  if (/^(?:utf-?8|us-ascii)$/i.test(charset)) return;
  throw new Problem('unsupported_media_type', `JSON is taken in UTF-8 only, not in ${charset}`);
}

const tooLarge = (maxBytes: number): Problem =>
  new Problem(
    'payload_too_large',
    `the body may have at most ${maxBytes} bytes (BUZZER_MAX_JSON; BUZZER_MAX_UPLOAD for bytes)`,
  );

/** Whether a body comes with the request, also an empty one. */
export const hasBody = ({ headers }: Pick<Request, 'headers'>): boolean =>
  headers['transfer-encoding'] !== undefined || headers['content-length'] !== undefined;

/** Lets go of the body, when what follows (such as waiting for the end) does not need it. */
export function releaseBody(response: Response): void {
  response.req.body = undefined;
  contextOf(response).releaseBody?.();
}
