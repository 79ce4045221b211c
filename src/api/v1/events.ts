/*
 * /v1/predictions/{id}/events: server-sent events. State, not a log: each connection begins with the
 * whole record, and ends with the final one.
 */
import { type Response, Router } from 'express';
import { isFinal, type Prediction, type Progress } from '../../contract/prediction.ts';
import { roomFor } from '../http/answers.ts';
import { onRevoked, tenantOf } from '../http/access.ts';
import type { PredictionReader } from '../../records/prediction-reader.ts';
import { parsePredictionId } from '../http/requests.ts';
import { eventsQuerySchema } from './schemas.ts';
import { parseQuery } from '../http/queries.ts';
import { abridged } from '../../records/shown-record.ts';
import type { WaitLimit } from '../http/wait-limit.ts';
import type { Follower } from '../../records/follower.ts';

/** Proxies cut a connection that is silent for about a minute. */
const KEEP_ALIVE_MS = 15_000;

export interface EventsDependencies {
  readonly reader: PredictionReader;
  readonly follower: Follower;
  readonly waitLimit: WaitLimit;
  /** Aborted when the process is to end: then the connections are closed, for clients to reconnect. */
  readonly stop: AbortSignal;
}

export function eventsRouter({ reader, follower, waitLimit, stop }: EventsDependencies): Router {
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
    const record = await reader.read(id, tenant, null); // what cannot be read is answered as a problem
    const first = await show(record);
    waitLimit.enter(response);
    response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-cache, no-transform',
      'X-Accel-Buffering': 'no',
    });
    sendEvent(response, 'prediction', first);
    if (isFinal(record) || stop.aborted || request.method === 'HEAD') {
      response.end();
      return;
    }
    follow(record, response, { follower, stop, show });
  });
  return router;
}

interface Follow extends Pick<EventsDependencies, 'follower' | 'stop'> {
  /** A record as this client wants to see it. */
  readonly show: (record: Prediction) => Promise<Prediction>;
}

function follow(first: Prediction, response: Response, { follower, stop, show }: Follow): void {
  const { id } = first;
  let latest = first;
  let stopListening = () => {};
  let stopWatching = () => {};
  const keepAlive = setInterval(() => response.write(': keep-alive\n\n'), KEEP_ALIVE_MS);
  const close = () => {
    clearInterval(keepAlive);
    stop.removeEventListener('abort', close);
    response.off('close', close);
    stopListening();
    stopWatching();
    response.end();
  };
  const sendRecord = async (record: Prediction) => {
    // When the output cannot be read, the record goes out without it; a GET of it says why.
    const shown = await show(record).catch(() => record);
    if (!response.writableEnded) sendEvent(response, 'prediction', shown);
    if (isFinal(record)) close();
  };
  stop.addEventListener('abort', close, { once: true });
  response.once('close', close);
  stopWatching = onRevoked(response, close);
  if (response.destroyed) close(); // it hung up before we listened
  if (response.writableEnded) return;
  stopListening = follower.listen(
    { id, tenant: tenantOf(response) },
    {
      onRecord(record) {
        const isNews = isFinal(record) || newsOf(record) !== newsOf(latest);
        const hasProgressed = !isSame(record.progress, latest.progress);
        latest = record;
        // Progress is left out while a client does not read: it gets the latest state when it does.
        if (!isNews && hasProgressed && !response.writableNeedDrain) {
          sendEvent(response, 'progress', record.progress);
        }
        if (!isNews) return;
        void sendRecord(record);
      },
      onError: close,
    },
  );
}

/** A change of these members is sent as the whole record. */
const newsOf = ({ status, priority, queue_ttl: queueTtl, deadline }: Prediction): string =>
  JSON.stringify([status, priority, queueTtl, deadline]);

const isSame = (a: Progress | null, b: Progress | null): boolean =>
  a?.fraction === b?.fraction && a?.message === b?.message;

const sendEvent = (response: Response, event: string, data: unknown): void => {
  response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
};
