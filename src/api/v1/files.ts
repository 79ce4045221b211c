/* /v1/files: bytes that are stored once and used as inputs by their id. */
import { type Request, type Response, Router } from 'express';
import { fileRecord, fileUrl, type StoredFile } from '../../contract/file.ts';
import type { Files, NewFile, ReceivedFile } from '../../files/files.ts';
import { newId } from '../../submission/new-id.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import { tenantOf } from '../http/access.ts';
import { contentDigest } from '../http/content-digest.ts';
import { plainMediaType, plainName } from '../http/file-labels.ts';
import { readForm } from '../http/multipart.ts';
import { Problem } from '../http/problems.ts';
import { parseQuery } from '../http/queries.ts';
import { parseFileId, requireBody } from '../http/requests.ts';
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
    const file = await store_(request, response, dependencies);
    response.set('Location', fileUrl(publicUrl, file.id));
    response.status(201).json(await shown(file));
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
    response.json(await files.putPart(file, number, bodyOf(request), { maxBytes, sha256 }));
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

/** Stores what comes as raw bytes or in a form, or begins an upload in parts. */
async function store_(
  request: Request,
  response: Response,
  { files, limits }: FilesDependencies,
): Promise<StoredFile> {
  const query = parseQuery(fileQuerySchema, request.query);
  const expiresMs = Date.now() + (query.expires_after ?? limits.fileTtlMs);
  const file = (filename: string, mediaType: string): NewFile => ({
    id: newId('file'),
    tenant: tenantOf(response),
    filename: query.filename ?? filename,
    purpose: null,
    media_type: mediaType,
    expires_at: new Date(expiresMs).toISOString(),
  });
  const storing = { maxBytes: limits.maxFileBytes, sha256: contentDigest(request) };
  const type = plainMediaType(request.get('Content-Type') ?? '');
  if (query.parts) return await files.begin(file('file', type));
  requireBody(request);
  requirePlain(request);
  if (!request.is('multipart/form-data')) {
    return await files.create(file('file', type), bodyOf(request), storing);
  }
  const received: ReceivedFile[] = [];
  try {
    await readForm(request, { maxFiles: 1, texts: [] }, async ({ filename, mediaType, body }) => {
      const given = file(plainName(filename), plainMediaType(mediaType));
      received.push(await files.receive(given, body, { ...storing, sha256: null }));
    });
    const [found] = received;
    if (found === undefined) throw new Problem('malformed_request', 'the form has no file');
    return await files.record(found);
  } catch (error) {
    for (const each of received) await files.drop(each).catch(() => {}); // the sweep finds it
    throw error;
  }
}

/** When reading fails, the iterator must not destroy the request: the answer needs its connection. */
const bodyOf = (request: Request): AsyncIterable<Uint8Array> =>
  request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
