/* /v1/files: bytes that are stored once and used as inputs by their id. */
import { type Request, type Response, Router } from 'express';
import type { z } from 'zod';
import { type FileRecord, fileRecord, type StoredFile } from '../../contract/file.ts';
import type { Files, NewFile } from '../../files/files.ts';
import { newId } from '../../submission/new-id.ts';
import { type PayloadStore, PayloadTooLargeError } from '../../storage/payload-store.ts';
import { tenantOf } from '../http/access.ts';
import { contentDigest } from '../http/content-digest.ts';
import { fileInForm } from '../http/file-in-form.ts';
import { plainMediaType } from '../http/file-labels.ts';
import { Problem } from '../http/problems.ts';
import { parseQuery } from '../http/queries.ts';
import { parseFileId, rawBody, requireBody } from '../http/requests.ts';
import { sendStored } from '../http/send-stored.ts';
import { listOf } from './lists.ts';
import { requirePlain } from './orders.ts';
import { fileListQuerySchema, fileQuerySchema } from './schemas.ts';

const MAX_PARTS = 10_000;

export interface FilesDependencies {
  readonly files: Files;
  readonly store: PayloadStore;
  readonly publicUrl: string;
  readonly limits: { readonly maxFileBytes: number; readonly fileTtlMs: number };
}

export function filesRouter(dependencies: FilesDependencies): Router {
  const { files, store, publicUrl } = dependencies;
  const { maxFileBytes: maxBytes } = dependencies.limits;
  const router = Router();
  /** Only a file that is read alone shows its parts. */
  const shown = async (file: StoredFile) => {
    const parts = file.content === null ? await files.parts(file) : null;
    return fileRecord(file, parts, publicUrl);
  };
  const find = async (request: Request<{ id: string }>, response: Response) =>
    await files.get(parseFileId(request.params.id), tenantOf(response));

  router.post('/files', async (request, response) => {
    const query = parseQuery(fileQuerySchema, request.query);
    const file = newFile(request, response, query, dependencies.limits.fileTtlMs);
    const record = query.presigned
      ? await beginPresigned(file, query.bytes, dependencies)
      : await shown(await store_(request, file, query, dependencies));
    response.set('Location', record.urls.get).status(201).json(record);
  });

  router.get('/files', async (request, response) => {
    const { after = null, limit } = parseQuery(fileListQuerySchema, request.query);
    const page = await files.list(tenantOf(response), { after, limit });
    const data = page.files.map((file) => fileRecord(file, null, publicUrl));
    response.json(listOf(data, page.next));
  });

  router.get('/files/:id', async (request, response) => {
    response.json(await shown(await find(request, response)));
  });

  router.get('/files/:id/content', async (request, response) => {
    const claim = await files.content(parseFileId(request.params.id), tenantOf(response));
    await sendStored(request, response, { kind: 'claim', claim }, store);
  });

  router.put('/files/:id/parts/:number', async (request, response) => {
    requirePlain(request);
    const number = /^\d{1,5}$/.test(request.params.number) ? Number(request.params.number) : 0;
    if (number < 1 || number > MAX_PARTS) {
      throw new Problem('malformed_request', `the number of a part is 1 to ${MAX_PARTS}`);
    }
    const file = await find(request, response);
    const sha256 = contentDigest(request);
    response.json(await files.putPart(file, number, rawBody(request), { maxBytes, sha256 }));
  });

  router.post('/files/:id/complete', async (request, response) => {
    const file = await find(request, response);
    const limits = { maxBytes, sha256: contentDigest(request) };
    response.json(await shown(await files.complete(file, limits)));
  });

  router.delete('/files/:id', async (request, response) => {
    await files.delete(await find(request, response));
    response.status(204).end();
  });
  return router;
}

type FileQuery = z.infer<typeof fileQuerySchema>;

/** What the head of a request says of its file. */
const newFile = (
  request: Request,
  response: Response,
  { filename = 'file', expires_after: ttlMs }: FileQuery,
  usualTtlMs: number,
): NewFile => ({
  id: newId('file'),
  tenant: tenantOf(response),
  filename,
  purpose: null,
  media_type: plainMediaType(request.get('Content-Type') ?? ''),
  expires_at: new Date(Date.now() + (ttlMs ?? usualTtlMs)).toISOString(),
});

/** Stores what comes as raw bytes or in a form, or begins an upload in parts. */
async function store_(
  request: Request,
  file: NewFile,
  query: FileQuery,
  { files, limits }: FilesDependencies,
): Promise<StoredFile> {
  const storing = { maxBytes: limits.maxFileBytes, sha256: contentDigest(request) };
  if (query.parts) return await files.begin(file);
  requireBody(request);
  requirePlain(request);
  if (!request.is('multipart/form-data')) {
    return await files.create(file, rawBody(request), storing);
  }
  const maxBytes = limits.maxFileBytes;
  return await fileInForm(request, { file, maxBytes, texts: [] }, files, (found) => {
    if (found === null) throw new Problem('malformed_request', 'the form has no file');
    return query.filename === undefined ? found : { ...found, filename: query.filename };
  });
}

/** Begins a file whose bytes the client puts into the store itself. */
async function beginPresigned(
  file: NewFile,
  bytes: number | undefined,
  { files, limits, publicUrl }: FilesDependencies,
): Promise<FileRecord> {
  if (bytes === undefined) throw new Problem('malformed_request', 'query: bytes is missing');
  if (bytes > limits.maxFileBytes) throw new PayloadTooLargeError(limits.maxFileBytes);
  const signed = await files.presign(file, bytes);
  if (signed === null) {
    const detail =
      'query: presigned needs payloads in a bucket (BUZZER_PAYLOAD_STORE) that are not encrypted here: use parts';
    throw new Problem('malformed_request', detail);
  }
  const upload = { url: signed.url, expires_at: new Date(signed.expiresAtMs).toISOString() };
  return fileRecord(await files.begin(file), [], publicUrl, upload);
}
