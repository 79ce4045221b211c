/*
 * /v1/predictions/{id}/events: server-sent events. State, not a log: each connection begins with the
 * whole record, and ends with the final one. The text of a model that writes it bit by bit comes in `output`
 * events between them, which go on where the client's `Last-Event-ID` says. Each event `partial_output` says how many
 * pages of a document, or which preview of an image, can be read by now, and where.
 */
import { type Response, Router } from 'express';
import { modelRefOf } from '../../contract/model.ts';
import { isFinal, type Prediction, type Progress } from '../../contract/prediction.ts';
import type { ModelRepository } from '../../models/repository.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import { roomFor } from '../http/answers.ts';
import { EventStream } from '../http/event-stream.ts';
import { follow } from '../http/follow.ts';
import { tenantOf } from '../http/access.ts';
import type { Observation, PredictionReader } from '../../records/prediction-reader.ts';
import { TextPieces, type TextPiece, type TextPosition } from '../../records/text-pieces.ts';
import { parsePredictionId } from '../http/requests.ts';
import { eventsQuerySchema } from './schemas.ts';
import { parseQuery } from '../http/queries.ts';
import { abridged } from '../../records/shown-record.ts';
import type { WaitLimit } from '../http/wait-limit.ts';
import type { Follower } from '../../records/follower.ts';

export interface EventsDependencies {
  readonly reader: PredictionReader;
  readonly repository: ModelRepository;
  readonly store: PayloadStore;
  readonly follower: Follower<Observation>;
  readonly waitLimit: WaitLimit;
  /** Aborted when the process is to end: then the connections are closed, for clients to reconnect. */
  readonly stop: AbortSignal;
}

export function eventsRouter(dependencies: EventsDependencies): Router {
  const { reader, waitLimit, stop } = dependencies;
  const router = Router();
  router.get('/predictions/:id/events', async (request, response) => {
    const id = parsePredictionId(request.params.id);
    const { include } = parseQuery(eventsQuerySchema, request.query);
    const tenant = tenantOf(response);
    const show = async (record: Prediction): Promise<Prediction> => {
      const isWanted = isFinal(record) && include.includes('output');
      const whole = isWanted ? await reader.read(id, tenant, roomFor(response)) : record;
      return abridged(whole.output === null ? record : whole, include); // null: it is too large
    };
    const seen = await reader.observe(id, tenant); // what cannot be read is answered as a problem
    const first = await show(seen.record);
    const position = positionIn(request.get('Last-Event-ID'));
    const pieces = piecesOf(seen.record, position, response, dependencies);
    waitLimit.enter(response);
    const stream = new EventStream(response);
    stream.begin();
    if (!isFinal(seen.record)) stream.send(first, RECORD);
    if (request.method !== 'HEAD') await sendPiece(stream, pieces, seen);
    if (isFinal(seen.record)) stream.send(first, RECORD);
    if (isFinal(seen.record) || stop.aborted || request.method === 'HEAD') {
      stream.end();
      return;
    }
    const send = sendNews(seen.record, { stream, show, pieces });
    follow(response, { ...dependencies, of: { id, tenant }, stream, send });
  });
  return router;
}

/** The name of an event that is the whole record. */
const RECORD = { event: 'prediction' } as const;
/** Of one that says where more pages of a document are. */
const PARTIAL = { event: 'partial_output' } as const;

/** Where the client's last event has ended: `<attempt>:<end offset>`; null when it has had none. */
function positionIn(lastEventId: string | undefined): TextPosition | null {
  const [, attempt, offset] = /^(\d{1,9}):(\d{1,12})$/.exec(lastEventId ?? '') ?? [];
  if (attempt === undefined || offset === undefined) return null;
  return { attempt: Number(attempt), offset: Number(offset) };
}

/** Null: the model does not tell its text while it writes it. */
function piecesOf(
  record: Prediction,
  position: TextPosition | null,
  response: Response,
  { repository, store }: EventsDependencies,
): TextPieces | null {
  const streaming = repository.streaming(modelRefOf(record));
  if (streaming?.kind !== 'text') return null;
  return new TextPieces(position, { store, textOf: streaming.textOf, room: roomFor(response) });
}

interface Watching {
  readonly stream: EventStream;
  /** A record as this client wants to see it. */
  readonly show: (record: Prediction) => Promise<Prediction>;
  readonly pieces: TextPieces | null;
}

/** What sends the news of each look behind the first. */
function sendNews(first: Prediction, { stream, show, pieces }: Watching) {
  let latest = first;
  let done = doneOf(first);
  return async (seen: Observation): Promise<boolean> => {
    const { record } = seen;
    const isNews = isFinal(record) || newsOf(record) !== newsOf(latest);
    const hasProgressed = !isSame(record.progress, latest.progress);
    latest = record;
    // What grows is left out while a client does not read: it gets the latest state when it does.
    const isReading = stream.isRead;
    if (isReading || isFinal(record)) await sendPiece(stream, pieces, seen);
    if (!isNews && hasProgressed && isReading) stream.send(record.progress, { event: 'progress' });
    const isNewPart = !isFinal(record) && doneOf(record) !== done;
    if (isReading && isNewPart && doneOf(record) !== '')
      stream.send(record.partial_output, PARTIAL);
    if (isReading) done = doneOf(record);
    // When the output cannot be read, the record goes out without it; a GET of it says why.
    if (isNews) stream.send(await show(record).catch(() => record), RECORD);
    return isFinal(record);
  };
}

/** Says what can be read beside the record by now; it changes when there is more. */
function doneOf({ partial_output: partial }: Prediction): string {
  if (partial === null || 'text' in partial) return '';
  return 'pages_done' in partial ? String(partial.pages_done) : `${partial.image}.${partial.step}`;
}

/** A change of these members is sent as the whole record. */
const newsOf = ({ status, priority, queue_ttl: queueTtl, deadline }: Prediction): string =>
  JSON.stringify([status, priority, queueTtl, deadline]);

const isSame = (a: Progress | null, b: Progress | null): boolean =>
  a?.fraction === b?.fraction && a?.message === b?.message;

/** Sends what is new of the text. When that cannot be read now, it comes with a later piece, or in the output. */
async function sendPiece(
  stream: EventStream,
  pieces: TextPieces | null,
  seen: Observation,
): Promise<void> {
  const piece = (await pieces?.next(seen).catch(() => null)) ?? null;
  if (piece !== null) stream.send(piece, { event: 'output', id: idOf(piece) });
}

const idOf = ({ attempt, offset, text }: TextPiece): string => `${attempt}:${offset + text.length}`;
