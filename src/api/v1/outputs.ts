/* What a prediction gave, and what is done of it before: as it is, or page by page as another text. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Request, type Response, Router } from 'express';
import { modelRefOf } from '../../contract/model.ts';
import { type Json, JSON_MEDIA_TYPE, type Stored } from '../../contract/payload.ts';
import { pagesOf, storedParts } from '../../contract/work.ts';
import type { ModelRepository } from '../../models/repository.ts';
import type { PageForm } from '../../pipelines/index.ts';
import { pagesIn } from '../../records/pages-in.ts';
import type { Observation, PredictionReader } from '../../records/prediction-reader.ts';
import { readJson, readText } from '../../records/read-json.ts';
import type { WhyQueued } from '../../records/why-queued.ts';
import { openClaim } from '../../storage/claims.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import { tenantOf } from '../http/access.ts';
import { roomFor } from '../http/answers.ts';
import { Problem } from '../http/problems.ts';
import { parseQuery } from '../http/queries.ts';
import { parsePredictionId } from '../http/requests.ts';
import { sendRecord } from '../http/send-record.ts';
import { sendStored } from '../http/send-stored.ts';
import { partialQuerySchema } from './schemas.ts';

export interface OutputsDependencies {
  readonly reader: PredictionReader;
  readonly repository: ModelRepository;
  readonly store: PayloadStore;
  readonly whyQueued: WhyQueued;
}

export function outputsRouter(dependencies: OutputsDependencies): Router {
  const { reader, repository, store, whyQueued } = dependencies;
  const router = Router();
  router.get('/predictions/:id/output', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const tenant = tenantOf(response);
    const { accepted, ended } = await reader.find(id, tenant);
    if (ended === null) {
      await sendRecord(response, 202, await reader.read(id, tenant, null), whyQueued);
    } else if (ended.status === 'succeeded') {
      const streaming = repository.streaming(modelRefOf(accepted));
      const forms = streaming?.kind === 'pages' ? streaming.forms : {};
      const form = wantedForm(request, response, ended.output, forms);
      if (form === null) await sendStored(request, response, ended.output, store);
      else await sendPages(response, pagesStored(ended.output, store), form);
    } else {
      const why =
        ended.status !== 'canceled' ? `: ${ended.error.code}, ${ended.error.message}` : '';
      throw new Problem('not_ready', `${id} ended ${ended.status}${why}`);
    }
  });

  router.get('/predictions/:id/partial_output', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const { after = 0 } = parseQuery(partialQuerySchema, request.query);
    const seen = await reader.observe(id, tenantOf(response));
    const streaming = repository.streaming(modelRefOf(seen.accepted));
    if (streaming?.kind === 'pages' || seen.work?.pages !== undefined) {
      await sendPages(response, pagesDone(seen, store), LINES, after);
    } else if (streaming?.kind === 'text') {
      response.type('text/plain').send(await textDone(seen, streaming.textOf, response, store));
    } else {
      const detail = `${seen.accepted.model} tells nothing of its output before the end`;
      throw new Problem('not_found', detail);
    }
  });
  return router;
}

const CHARSET = /;\s*charset="?[\w-]+"?/gi;

/** A text that pages are sent as. */
interface SentForm {
  readonly mediaType: string;
  readonly form: PageForm;
}

const LINES: SentForm = {
  mediaType: 'application/x-ndjson',
  form: () => (page) => `${JSON.stringify(page)}\n`,
};

/** The other text of an output that the client prefers; null: JSON, or whatever the output is. */
function wantedForm(
  request: Request,
  response: Response,
  output: Stored,
  forms: Readonly<Record<string, PageForm>>,
): SentForm | null {
  const isJson = output.kind === 'inline' || output.claim.media_type === JSON_MEDIA_TYPE;
  const others = Object.keys(forms);
  if (!isJson || others.length === 0) return null;
  response.vary('Accept');
  const { accept } = request.headers;
  if (accept !== undefined) request.headers.accept = accept.replaceAll(CHARSET, ''); // all texts are UTF-8
  const mediaType = request.accepts([JSON_MEDIA_TYPE, ...others]);
  const form = typeof mediaType === 'string' ? forms[mediaType] : undefined;
  return form === undefined ? null : { mediaType: String(mediaType), form };
}

/** The pages of an output. */
async function* pagesStored(output: Stored, store: PayloadStore): AsyncGenerator<Json> {
  if (output.kind === 'inline') yield* pagesOf(output.value as Record<string, Json>) ?? [];
  else yield* pagesIn(await openClaim(store, output.claim));
}

/** The pages that are done by now. */
async function* pagesDone(
  { ended, work }: Pick<Observation, 'ended' | 'work'>,
  store: PayloadStore,
): AsyncGenerator<Json> {
  if (ended?.status === 'succeeded') yield* pagesStored(ended.output, store);
  if (work === null) return;
  for (const claim of storedParts(work)) yield* pagesIn(await openClaim(store, claim));
  yield* pagesOf(work.tail) ?? [];
}

/** Page by page, so that no more than one of them is in memory; the first `after` of them are left out. */
async function sendPages(
  response: Response,
  pages: AsyncIterable<Json>,
  { mediaType, form }: SentForm,
  after = 0,
): Promise<void> {
  async function* texts(): AsyncGenerator<string> {
    const textOf = form();
    let count = 0;
    for await (const page of pages) {
      count += 1;
      if (count > after) yield textOf(page);
    }
  }
  const body = await begun(texts());
  response.type(mediaType).set({
    'Cache-Control': 'no-store', // it may be another text in a moment
    'Content-Security-Policy': 'sandbox', // a stranger's words on our origin
  });
  if (response.req.method === 'HEAD') response.end();
  else await pipeline(Readable.from(body), response).catch(() => response.destroy()); // the store or the client ended too early
}

/** The same texts, the first of which is there: what is gone by then is answered as such. */
async function begun(texts: AsyncGenerator<string>): Promise<AsyncGenerator<string>> {
  const first = await texts.next();
  return (async function* () {
    if (first.done === true) return;
    yield first.value;
    yield* texts;
  })();
}

/** All text that is there by now. */
async function textDone(
  { ended, work }: Observation,
  textOf: (output: Json) => string,
  response: Response,
  store: PayloadStore,
): Promise<string> {
  const place = { store, room: roomFor(response) };
  if (ended?.status === 'succeeded') return textOf(await readJson(ended.output, place));
  return work === null ? '' : await readText(work, place);
}
