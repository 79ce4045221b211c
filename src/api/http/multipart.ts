/* multipart/form-data (RFC 7578): files as they come, and the one part that is JSON. */
import type { Readable } from 'node:stream';
import { Busboy } from '@fastify/busboy';
import type { Request } from 'express';
import { messageOf } from '../../contract/failure.ts';
import { Problem } from './problems.ts';

/** The part that holds what a JSON request would. */
export const REQUEST_PART = 'request';
/** The limit of that part, which is read whole. Large values come as files. */
const MAX_JSON_BYTES = 256 * 1024;
const MAX_HEADERS_OF_A_PART = 16;
/** After so long without progress the form is given up. */
const STALL_MS = 20_000;

/**
 * Reads a form to its end, and returns the text of its part `request`, or null when there is none.
 * `onFile` gets every other part and must read it. There may be `maxFiles` of them, each with a file name.
 * Throws problems and what `onFile` throws. By then nothing is being read any more.
 */
export async function readForm(
  request: Request,
  maxFiles: number,
  onFile: (name: string, body: Readable) => Promise<unknown>,
): Promise<string | null> {
  if (request.destroyed) throw malformed('it breaks off'); // a destroyed request emits no more events
  const parser = parserOf(request, maxFiles);
  const files: Readable[] = [];
  const work: Promise<unknown>[] = [];
  let stalled: NodeJS.Timeout | undefined;
  try {
    const text = await new Promise<string | null>((resolve, reject) => {
      let found: string | null = null;
      // The parser passes undefined for a part without a name, although its types do not say so.
      parser.on('field', (name: string | undefined, value, _isNameCut, isCut) => {
        if (name !== REQUEST_PART) reject(unknownPart(name));
        else if (isCut) reject(tooLarge());
        else found = value;
      });
      parser.on('file', (name: string | undefined, file) => {
        // An error without a listener would end the process. Whoever reads the file gets it anyway.
        file.on('error', () => {});
        files.push(file);
        if (name === undefined) {
          reject(unknownPart(name));
          return;
        }
        const reading = onFile(name, file);
        reading.catch(reject);
        work.push(reading);
      });
      for (const limit of ['filesLimit', 'fieldsLimit', 'partsLimit'] as const) {
        parser.once(limit, () => reject(malformed('it has more parts than the model has inputs')));
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
    return text;
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

function parserOf(request: Request, maxFiles: number) {
  try {
    return new Busboy({
      headers: { ...request.headers, 'content-type': request.get('Content-Type') ?? '' },
      isPartAFile: (name, _type, fileName) => name !== REQUEST_PART && fileName !== undefined,
      limits: {
        fields: 1,
        files: maxFiles,
        parts: maxFiles + 1,
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

const unknownPart = (name: string | undefined): Problem =>
  malformed(
    `its part ${name?.slice(0, 100) ?? 'without a name'} is neither a file nor ${REQUEST_PART}`,
  );

const tooLarge = (): Problem =>
  new Problem(
    'payload_too_large',
    `the part ${REQUEST_PART} may have at most ${MAX_JSON_BYTES} bytes: send large values as a JSON body`,
  );
