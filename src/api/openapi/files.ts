/* The operations on files. */
import { z } from 'zod';
import type { FilePart, FileRecord } from '../../contract/file.ts';
import { FILE_ID } from '../../contract/ids.ts';
import { fileListQuerySchema, fileQuerySchema } from '../v1/schemas.ts';
import { pageOf } from './answers.ts';
import { answer, answers, type Documented, type DocumentedId, GUARDED } from './parts.ts';
import { anyBytes, storedBytes } from './predictions.ts';

const id = z.string().regex(FILE_ID).meta({ example: 'file_01kb6v0x3dq2m8c5n7w9t4hjre' });
const ofFile = { path: z.object({ id }) };
const whole = z.int().min(0);
const digest = z.object({
  'Content-Digest': z
    .string()
    .optional()
    .meta({ description: '`sha-256=:<base64>:` (RFC 9530): other bytes are refused.' }),
});

const partAnswer = z
  .strictObject({ number: z.int().min(1), bytes: whole, sha256: z.string() })
  .meta({ id: 'FilePart' }) satisfies z.ZodType<FilePart>;

const fileAnswer = z
  .strictObject({
    id: z.string(),
    object: z.literal('file'),
    status: z.enum(['uploading', 'ready']),
    filename: z.string(),
    media_type: z.string(),
    bytes: whole.nullable(),
    sha256: z.string().nullable(),
    purpose: z.string().nullable(),
    created_at: z.iso.datetime(),
    expires_at: z.iso.datetime(),
    parts: z.array(partAnswer).nullable().describe('Those that are there, while it is uploading.'),
    upload: z
      .strictObject({ url: z.string(), expires_at: z.iso.datetime() })
      .nullable()
      .describe('Where to `PUT` its bytes, when `presigned` was asked for.'),
    urls: z.strictObject({ get: z.string(), content: z.string() }),
  })
  .meta({ id: 'File' }) satisfies z.ZodType<FileRecord>;

const binary = { schema: { type: 'string', format: 'binary' } as const };
const form = {
  schema: { type: 'object', properties: { file: { type: 'string', format: 'binary' } } } as const,
};

export const files = {
  createFile: {
    summary: 'Store a file: raw bytes, a form, or (`?parts=true`, `?presigned=true`) nothing yet',
    requestParams: { query: fileQuerySchema, header: digest },
    requestBody: { content: { 'application/octet-stream': binary, 'multipart/form-data': form } },
    responses: answers(
      { '201': answer('It is stored', fileAnswer, z.object({ Location: z.string() })) },
      [...GUARDED, 413, 415, 422, 429],
    ),
  },
  listFiles: {
    summary: 'The files of the tenant, the newest first',
    requestParams: { query: fileListQuerySchema },
    responses: answers({ '200': answer('A page', pageOf(fileAnswer)) }, GUARDED),
  },
  getFile: {
    summary: 'What is known of a file',
    requestParams: ofFile,
    responses: answers({ '200': answer('The file', fileAnswer) }, [...GUARDED, 404, 410]),
  },
  getFileContent: {
    summary: 'The bytes of a file; a `Range` of them if asked for',
    requestParams: ofFile,
    responses: answers(storedBytes('The bytes', anyBytes), [...GUARDED, 404, 410, 422]),
  },
  deleteFile: {
    summary: 'Remove a file',
    requestParams: ofFile,
    responses: answers({ '204': { description: 'It is gone' } }, [...GUARDED, 404, 410]),
  },
  putFilePart: {
    summary: 'Store a part of a file; the one before with its number is replaced',
    requestParams: {
      path: z.object({ id, number: z.string().meta({ example: '1' }) }),
      header: digest,
    },
    requestBody: { required: true, content: { 'application/octet-stream': binary } },
    responses: answers({ '200': answer('It is stored', partAnswer) }, [
      ...GUARDED,
      404,
      410,
      413,
      415,
      422,
      429,
    ]),
  },
  completeFile: {
    summary: 'Make a file of its parts, or of what was put to its presigned URL',
    requestParams: { ...ofFile, header: digest },
    responses: answers({ '200': answer('The file', fileAnswer) }, [
      ...GUARDED,
      404,
      410,
      413,
      422,
      429,
    ]),
  },
} satisfies Partial<Record<DocumentedId, Documented>>;
