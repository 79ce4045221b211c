/* What a prediction gave, and what is done of it before: as it is, or page by page as another text. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Request, type Response, Router } from 'express';
import { modelRefOf } from '../../contract/model.ts';
import { type Claim, type Json, JSON_MEDIA_TYPE, type Stored } from '../../contract/payload.ts';
import { outputUrl, shownOutput } from '../../contract/prediction-record.ts';
import {
  pagesOf,
  type Preview,
  previewOf,
  storedParts,
  type WorkSoFar,
} from '../../contract/work.ts';
import type { ModelRepository } from '../../models/repository.ts';
import type { PageForm } from '../../pipelines/index.ts';
import { pagesIn } from '../../records/pages-in.ts';
import type { Ended } from '../../contract/prediction.ts';
import type { Observation, PredictionReader } from '../../records/prediction-reader.ts';
import { readJson, readText } from '../../records/read-json.ts';
import type { WhyQueued } from '../../records/why-queued.ts';
import { openClaim } from '../../storage/claims.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import { readLatest } from '../../storage/work.ts';
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
  readonly publicUrl: string;
}

export function outputsRouter(dependencies: OutputsDependencies): Router {
  const { reader, repository, store, whyQueued, publicUrl } = dependencies;
  const router = Router();
  router.get('/predictions/:id/output', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const tenant = tenantOf(response);
    const { accepted, ended } = await reader.find(id, tenant);
    if (ended === null) {
      await sendRecord(response, 202, await reader.read(id, tenant, null), whyQueued);
    } else if (ended.status === 'succeeded') {
      const image = wantedImage(request, response, ended.images);
      if (image !== null) {
        await sendStored(request, response, { kind: 'claim', claim: image }, store);
        return;
      }
      const streaming = repository.streaming(modelRefOf(accepted));
      const forms = streaming?.kind === 'pages' ? streaming.forms : {};
      const form = wantedForm(request, response, ended.output, forms);
      const shown = shownOutput(ended, outputUrl(publicUrl, id));
      if (form === null) await sendStored(request, response, shown, store);
      else await sendPages(response, pagesStored(ended.output, store), form);
    } else throw withoutOutput(id, ended);
  });

  router.get('/predictions/:id/partial_output', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const { after = 0 } = parseQuery(partialQuerySchema, request.query);
    const seen = await reader.observe(id, tenantOf(response));
    const streaming = repository.streaming(modelRefOf(seen.accepted));
    if (streaming?.kind === 'pages' || seen.work?.pages !== undefined) {
      await sendPages(response, pagesDone(seen, store), LINES, after);
    } else if (streaming?.kind === 'images' || seen.work?.preview !== undefined) {
      await sendPreview(response, seen, id, store);
    } else if (streaming?.kind === 'text') {
      response.type('text/plain').send(await textDone(seen, streaming.textOf, response, store));
    } else {
      const detail = `${seen.accepted.model} tells nothing of its output before the end`;
      throw new Problem('not_found', detail);
    }
  });
  return router;
}

/** Each image of an output. */
export function outputImagesRouter({ reader, store, whyQueued }: OutputsDependencies): Router {
  const router = Router();
  router.get('/predictions/:id/output/:image', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const tenant = tenantOf(response);
    const { ended } = await reader.find(id, tenant);
    if (ended === null) {
      await sendRecord(response, 202, await reader.read(id, tenant, null), whyQueued);
      return;
    }
    if (ended.status !== 'succeeded') throw withoutOutput(id, ended);
    const { images = [] } = ended;
    const { image } = request.params;
    const claim = images.find((_each, index) => String(index) === image);
    if (claim === undefined) {
      const there = images.length === 0 ? 'none' : `those from 0 to ${images.length - 1}`;
      throw new Problem('not_found', `${id} has no image ${image}, but ${there}`);
    }
    response.set(
      'Content-Disposition',
      `inline; filename="${id}-${image}.${claim.media_type.split('/')[1]}"`,
    );
    await sendStored(request, response, { kind: 'claim', claim }, store);
  });
  return router;
}

function withoutOutput(id: string, ended: Exclude<Ended, { status: 'succeeded' }>): Problem {
  const why = ended.status !== 'canceled' ? `: ${ended.error.code}, ${ended.error.message}` : '';
  return new Problem('not_ready', `${id} ended ${ended.status}${why}`);
}

/** The only image of an output, when the client asks for an image; null: it does not. */
function wantedImage(
  request: Request,
  response: Response,
  images: readonly Claim[] = [],
): Claim | null {
  const [only] = images;
  if (only === undefined || images.length > 1) return null;
  response.vary('Accept');
  return request.accepts([JSON_MEDIA_TYPE, only.media_type]) === only.media_type ? only : null;
}

/** The latest picture of what an image is going to be. */
async function sendPreview(
  response: Response,
  { work, ended }: Observation,
  id: string,
  store: PayloadStore,
): Promise<void> {
  const preview = work?.preview === undefined ? null : await readPreview(work, store, response);
  if (preview === null) {
    throw new Problem('not_found', `${id} has no preview: ${whyNoPreview(ended)}`);
  }
  response
    .type(preview.media_type)
    .set({
      'Cache-Control': 'no-store', // there may be another one in a moment
      'Content-Security-Policy': 'sandbox',
    })
    .send(Buffer.from(preview.data, 'base64'));
}

function whyNoPreview(ended: Ended | null): string {
  if (ended === null) return 'there is none yet';
  return ended.status === 'succeeded'
    ? 'its images are there'
    : 'it ended before there was a preview';
}

async function readPreview(
  work: WorkSoFar,
  store: PayloadStore,
  response: Response,
): Promise<Preview | null> {
  const room = roomFor(response);
  return await readLatest(work, store, previewOf, (bytes) => room.take(bytes));
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
