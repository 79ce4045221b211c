/* multipart/form-data (RFC 7578): files as they come, and the one part that is JSON. */
import type { Readable } from 'node:stream';
import { Busboy } from '@fastify/busboy';
import type { Request } from 'express';
import { messageOf } from '../contract/failure.ts';
import { Problem } from './problems.ts';

/** The part that holds what a JSON request would. */
export const REQUEST_PART = 'request';
const MAX_HEADERS_OF_A_PART = 16;

export interface FormLimits {
  /** Of the part `request`, in bytes. */
  readonly maxJsonBytes: number;
  readonly maxFiles: number;
}

/**
 * Reads a form to its end; answers with the text of its part `request`, null when there is none.
 * `onFile` gets every other part, which must have a file name, and must read it. Throws problems, and
 * what `onFile` throws; by then nothing is being read any more.
 */
export async function readForm(
  request: Request,
  limits: FormLimits,
  onFile: (name: string, body: Readable) => Promise<unknown>,
): Promise<string | null> {
  const parser = parserOf(request, limits);
  const files: Readable[] = [];
  const work: Promise<unknown>[] = [];
  try {
    const text = await new Promise<string | null>((resolve, reject) => {
      let found: string | null = null;
      parser.on('field', (name, value, _isNameCut, isCut) => {
        if (name !== REQUEST_PART) reject(unknownPart(name));
        else if (isCut) reject(tooLarge(limits.maxJsonBytes));
        else found = value;
      });
      parser.on('file', (name, file) => {
        file.on('error', () => {}); // whoever reads it is told, if anybody does yet
        files.push(file);
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
        if (!request.complete) reject(malformed('it breaks off'));
      });
      request.pipe(parser);
    });
    await Promise.all(work);
    return text;
  } catch (error) {
    request.unpipe(parser); // it is not destroyed: that would take our answer with it
    parser.destroy();
    for (const file of files) file.destroy(new Error('the form was given up'));
    await Promise.allSettled(work);
    throw error;
  }
}

function parserOf(request: Request, { maxJsonBytes, maxFiles }: FormLimits) {
  try {
    return new Busboy({
      headers: { ...request.headers, 'content-type': request.get('Content-Type') ?? '' },
      isPartAFile: (name, _type, fileName) => name !== REQUEST_PART && fileName !== undefined,
      limits: {
        fields: 1,
        files: maxFiles,
        parts: maxFiles + 1,
        fieldSize: maxJsonBytes,
        headerPairs: MAX_HEADERS_OF_A_PART,
      },
    });
  } catch (error) {
    throw malformed(messageOf(error)); // no boundary, for example
  }
}

const malformed = (what: string): Problem =>
  new Problem('malformed_request', `the form cannot be read: ${what}`);

const unknownPart = (name: string): Problem =>
  malformed(`its part ${name.slice(0, 100)} is neither a file nor ${REQUEST_PART}`);

const tooLarge = (maxBytes: number): Problem =>
  new Problem(
    'payload_too_large',
    `the part ${REQUEST_PART} may have at most ${maxBytes} bytes (BUZZER_MAX_JSON)`,
  );
