/* /openai/v1/files: https://platform.openai.com/docs/api-reference/files */
import { Router } from 'express';
import type { StoredFile } from '../../contract/file.ts';
import { invalidAt } from '../../contract/refusal.ts';
import type { Files } from '../../files/files.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import { newId } from '../../submission/new-id.ts';
import { tenantOf } from '../http/access.ts';
import { fileInForm } from '../http/file-in-form.ts';
import { Problem } from '../http/problems.ts';
import { parseQuery } from '../http/queries.ts';
import { parseFileId } from '../http/requests.ts';
import { sendStored } from '../http/send-stored.ts';
import { secondsOf } from './generated.ts';
import { fileListQuerySchema } from './schemas.ts';

const PURPOSES = ['assistants', 'batch', 'evals', 'fine-tune', 'user_data', 'vision'];
const MIN_TTL_S = 3600;
const MAX_TTL_S = 365 * 24 * 3600;
const TEXTS = ['purpose', 'expires_after[anchor]', 'expires_after[seconds]'];

export interface OpenAiFilesDependencies {
  readonly files: Files;
  readonly store: PayloadStore;
  readonly limits: { readonly maxFileBytes: number; readonly fileTtlMs: number };
}

export function filesRouter({ files, store, limits }: OpenAiFilesDependencies): Router {
  const router = Router();

  router.post('/files', async (request, response) => {
    if (!request.is('multipart/form-data')) {
      throw new Problem('unsupported_media_type', 'send a form with purpose and file');
    }
    const file = {
      id: newId('file'),
      tenant: tenantOf(response),
      purpose: null,
      expires_at: new Date(Date.now() + limits.fileTtlMs).toISOString(),
    };
    const form = { file, maxBytes: limits.maxFileBytes, texts: TEXTS };
    const stored = await fileInForm(request, form, files, (found, texts) => {
      if (found === null) throw invalidAt('/file', 'is missing');
      return { ...found, purpose: purposeIn(texts), expires_at: expiryIn(texts, found) };
    });
    response.json(fileObject(stored));
  });

  router.get('/files', async (request, response) => {
    const { after = null, limit, purpose, order } = parseQuery(fileListQuerySchema, request.query);
    const page = await files.list(tenantOf(response), { after, limit, order, purpose });
    response.json(openAiList(page.files.map(fileObject), page.next !== null));
  });

  router.get('/files/:id', async (request, response) => {
    const id = parseFileId(request.params.id);
    response.json(fileObject(await files.get(id, tenantOf(response))));
  });

  router.get('/files/:id/content', async (request, response) => {
    const claim = await files.content(parseFileId(request.params.id), tenantOf(response));
    await sendStored(request, response, { kind: 'claim', claim }, store);
  });

  router.delete('/files/:id', async (request, response) => {
    const file = await files.get(parseFileId(request.params.id), tenantOf(response));
    await files.delete(file);
    response.json({ id: file.id, object: 'file', deleted: true });
  });
  return router;
}

/** A list as OpenAI's clients go through it. */
export const openAiList = (data: readonly { readonly id: string }[], hasMore: boolean) => ({
  object: 'list',
  data,
  first_id: data[0]?.id ?? null,
  last_id: data.at(-1)?.id ?? null,
  has_more: hasMore,
});

function purposeIn(texts: ReadonlyMap<string, string>): string {
  const purpose = texts.get('purpose');
  if (purpose !== undefined && PURPOSES.includes(purpose)) return purpose;
  throw invalidAt('/purpose', `must be one of ${PURPOSES.join(', ')}`);
}

function expiryIn(texts: ReadonlyMap<string, string>, file: StoredFile): string {
  const anchor = texts.get('expires_after[anchor]');
  const seconds = texts.get('expires_after[seconds]');
  if (anchor === undefined && seconds === undefined) return file.expires_at;
  const ttlS = /^\d{1,9}$/.test(seconds ?? '') ? Number(seconds) : 0;
  if (anchor !== 'created_at') throw invalidAt('/expires_after/anchor', 'must be created_at');
  if (ttlS < MIN_TTL_S || ttlS > MAX_TTL_S) {
    throw invalidAt('/expires_after/seconds', `must be ${MIN_TTL_S} to ${MAX_TTL_S}`);
  }
  return new Date(Date.parse(file.created_at) + ttlS * 1000).toISOString();
}

const fileObject = ({ id, content, filename, purpose, created_at, expires_at }: StoredFile) => ({
  id,
  object: 'file',
  bytes: content?.bytes ?? 0,
  created_at: secondsOf(created_at),
  expires_at: secondsOf(expires_at),
  filename,
  purpose: purpose ?? 'user_data',
  status: content === null ? 'uploaded' : 'processed',
});
