/* What a prediction gave, and what is done of it before: as it is, or as another text. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Request, type Response, Router } from 'express';
import { modelRefOf } from '../../contract/model.ts';
import { type Json, JSON_MEDIA_TYPE, type Stored } from '../../contract/payload.ts';
import type { Accepted, Ended } from '../../contract/prediction.ts';
import { pagesOf, storedParts, type WorkSoFar } from '../../contract/work.ts';
import type { ModelRepository } from '../../models/repository.ts';
import type { PredictionReader } from '../../records/prediction-reader.ts';
import { readJson, readText } from '../../records/read-json.ts';
import type { WhyQueued } from '../../records/why-queued.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import { readParts } from '../../storage/work.ts';
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

const LINES_MEDIA_TYPE = 'application/x-ndjson';

export function outputsRouter(dependencies: OutputsDependencies): Router {
  const { reader, store, whyQueued } = dependencies;
  const router = Router();
  router.get('/predictions/:id/output', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const tenant = tenantOf(response);
    const { accepted, ended } = await reader.find(id, tenant);
    if (ended === null) {
      await sendRecord(response, 202, await reader.read(id, tenant, null), whyQueued);
    } else if (ended.status === 'succeeded') {
      const form = wantedForm(request, response, accepted, ended.output, dependencies);
      if (form === null) await sendStored(request, response, ended.output, store);
      else await sendText(response, ended.output, form, store);
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
    const streaming = dependencies.repository.streaming(modelRefOf(seen.accepted));
    if (streaming?.kind === 'pages' || seen.work?.pages !== undefined) {
      await sendPages(response, pagesIn(seen, response, store), after);
    } else if (streaming?.kind === 'text') {
      const { ended } = seen;
      const text =
        ended?.status === 'succeeded'
          ? streaming.textOf(await readJson(ended.output, { store, room: roomFor(response) }))
          : await textIn(seen.work, response, store);
      response.type('text/plain').send(text);
    } else {
      throw new Problem(
        'not_found',
        `${seen.accepted.model} tells nothing of its output before the end`,
      );
    }
  });
  return router;
}

/** A text that an output can be read as. */
interface OutputForm {
  readonly mediaType: string;
  readonly textOf: (output: Json) => string;
}

/** The form that the client prefers; null: JSON, or whatever the output is. */
function wantedForm(
  request: Request,
  response: Response,
  accepted: Accepted,
  output: Stored,
  { repository }: OutputsDependencies,
): OutputForm | null {
  const forms = repository.outputForms(modelRefOf(accepted));
  const isJson = output.kind === 'inline' || output.claim.media_type === JSON_MEDIA_TYPE;
  if (!isJson || Object.keys(forms).length === 0) return null;
  response.vary('Accept');
  const mediaType = request.accepts([JSON_MEDIA_TYPE, ...Object.keys(forms)]);
  const textOf = typeof mediaType === 'string' ? forms[mediaType] : undefined;
  return textOf === undefined ? null : { mediaType: String(mediaType), textOf };
}

async function sendText(
  response: Response,
  output: Stored,
  { mediaType, textOf }: OutputForm,
  store: PayloadStore,
): Promise<void> {
  const text = textOf(await readJson(output, { store, room: roomFor(response) }));
  response.type(mediaType).set('Content-Security-Policy', 'sandbox').send(text);
}

async function textIn(
  work: WorkSoFar | null,
  response: Response,
  store: PayloadStore,
): Promise<string> {
  return work === null ? '' : await readText(work, { store, room: roomFor(response) });
}

/** The pages that are done, piece by piece. */
async function* pagesIn(
  { ended, work }: { readonly ended: Ended | null; readonly work: WorkSoFar | null },
  response: Response,
  store: PayloadStore,
): AsyncGenerator<readonly Json[]> {
  const room = roomFor(response);
  if (ended?.status === 'succeeded') {
    yield pagesOf((await readJson(ended.output, { store, room })) as Record<string, Json>) ?? [];
  } else if (work !== null) {
    const largest = Math.max(0, ...storedParts(work).map(({ bytes }) => bytes));
    const giveBack = room.take(largest);
    await room.turn(largest);
    for await (const part of readParts(work, store)) yield pagesOf(part) ?? [];
    giveBack();
  }
}

/** As JSON Lines; the first `after` of them are left out. */
async function sendPages(
  response: Response,
  pieces: AsyncIterable<readonly Json[]>,
  after: number,
): Promise<void> {
  response.type(LINES_MEDIA_TYPE).set('Cache-Control', 'no-store');
  let left = after;
  async function* lines(): AsyncGenerator<string> {
    for await (const pages of pieces) {
      for (const page of pages.slice(left)) yield `${JSON.stringify(page)}\n`;
      left = Math.max(0, left - pages.length);
    }
  }
  await pipeline(Readable.from(lines()), response).catch((error: unknown) => {
    if (!response.headersSent) throw error;
    response.destroy();
  });
}
