/* multipart/form-data (RFC 7578): files as they come, and the parts that are texts. */
import type { Readable } from 'node:stream';
import { Busboy } from '@fastify/busboy';
import type { Request } from 'express';
import { messageOf } from '../../contract/failure.ts';
import { Problem } from './problems.ts';

/** The part that holds what a JSON request would. */
export const REQUEST_PART = 'request';
/** The limit of a text, which is read whole. Large values come as files. */
const MAX_JSON_BYTES = 256 * 1024;
const MAX_HEADERS_OF_A_PART = 16;
/** After so long without progress the form is given up. */
const STALL_MS = 20_000;

export interface FormShape {
  /** How many files there may be, each with a file name. */
  readonly maxFiles: number;
  /** The names of the parts that are texts. */
  readonly texts: readonly string[];
}

/** A file in a form. */
export interface FormFile {
  /** The name of its part. */
  readonly name: string;
  readonly filename: string;
  readonly mediaType: string;
  readonly body: Readable;
}

/**
 * Reads a form to its end, and returns its texts by name. `onFile` gets every other part and must read it. Throws
 * problems and what `onFile` throws. By then nothing is being read any more.
 */
export async function readForm(
  request: Request,
  shape: FormShape,
  onFile: (file: FormFile) => Promise<unknown>,
): Promise<ReadonlyMap<string, string>> {
  if (request.destroyed) throw malformed('it breaks off'); // a destroyed request emits no more events
  const parser = parserOf(request, shape);
  const files: Readable[] = [];
  const work: Promise<unknown>[] = [];
  let stalled: NodeJS.Timeout | undefined;
  try {
    const texts = await new Promise<ReadonlyMap<string, string>>((resolve, reject) => {
      const found = new Map<string, string>();
      // The parser passes undefined for a part without a name, although its types do not say so.
      parser.on('field', (name: string | undefined, value, _isNameCut, isCut) => {
        if (name === undefined || !shape.texts.includes(name)) reject(unknownPart(name, shape));
        else if (isCut) reject(tooLarge(name));
        else found.set(name, value);
      });
      parser.on('file', (name: string | undefined, file, filename, _encoding, mediaType) => {
        // An error without a listener would end the process. Whoever reads the file gets it anyway.
        file.on('error', () => {});
        files.push(file);
        if (name === undefined) {
          reject(unknownPart(name, shape));
          return;
        }
        const reading = onFile({ name, filename, mediaType, body: file });
        reading.catch(reject);
        work.push(reading);
      });
      for (const limit of ['filesLimit', 'fieldsLimit', 'partsLimit'] as const) {
        parser.once(limit, () => reject(malformed('it has more parts than are taken here')));
      }
      parser.once('finish', () => resolve(found));
      parser.once('error', (error) => reject(malformed(messageOf(error))));
      request.once('close', () => {
        if (!request.readableEnded) reject(malformed('it breaks off'));
      });
      // The parser can stop for ever in a part that it skips.
      stalled = setTimeout(() => reject(malformed('it stands still')), STALL_MS);
      request.on('data', () => stalled?.refresh());
      request.pipe(parser);
    });
    await Promise.all(work);
    return texts;
  } catch (error) {
    request.unpipe(parser); // destroying the request would destroy our answer too
    parser.destroy();
    for (const file of files) file.destroy(new Error('the form was given up'));
    await Promise.allSettled(work);
    throw error;
  } finally {
    clearTimeout(stalled);
  }
}

function parserOf(request: Request, { maxFiles, texts }: FormShape) {
  try {
    return new Busboy({
      headers: { ...request.headers, 'content-type': request.get('Content-Type') ?? '' },
      isPartAFile: (name, _type, fileName) => !texts.includes(name ?? '') && fileName !== undefined,
      limits: {
        fields: texts.length,
        files: maxFiles,
        parts: maxFiles + texts.length,
        fieldSize: MAX_JSON_BYTES,
        headerPairs: MAX_HEADERS_OF_A_PART,
      },
    });
  } catch (error) {
    throw malformed(messageOf(error)); // no boundary, for example
  }
}

const malformed = (what: string): Problem =>
  new Problem('malformed_request', `the form cannot be read: ${what}`);

const unknownPart = (name: string | undefined, { texts }: FormShape): Problem => {
  const given = name?.slice(0, 100) ?? 'without a name';
  return malformed(`its part ${given} is neither a file nor ${texts.join(' or ')}`);
};

const tooLarge = (name: string): Problem =>
  new Problem(
    'payload_too_large',
    `the part ${name} may have at most ${MAX_JSON_BYTES} bytes: send large values as a JSON body`,
  );
