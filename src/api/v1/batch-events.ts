/*
 * /v1/batches/{id}/events: server-sent events. State, not a log: each connection begins with the whole record, and
 * ends with the final one; between them comes the progress.
 */
import { Router } from 'express';
import { type Batch, isFinalBatch } from '../../contract/batch.ts';
import type { BatchReader } from '../../records/batch-reader.ts';
import type { Follower } from '../../records/follower.ts';
import { tenantOf } from '../http/access.ts';
import { EventStream } from '../http/event-stream.ts';
import { follow } from '../http/follow.ts';
import { parseBatchId } from '../http/requests.ts';
import type { WaitLimit } from '../http/wait-limit.ts';

const RECORD = { event: 'batch' } as const;

export function batchEventsRouter(dependencies: {
  readonly batchReader: BatchReader;
  readonly batchFollower: Follower<Batch>;
  readonly waitLimit: WaitLimit;
  readonly stop: AbortSignal;
}): Router {
  const { batchReader, batchFollower: follower, waitLimit, stop } = dependencies;
  const router = Router();
  router.get('/batches/:id/events', async (request, response) => {
    const id = parseBatchId(request.params.id);
    const tenant = tenantOf(response);
    let latest = await batchReader.read(id, tenant); // what cannot be read is answered as a problem
    waitLimit.enter(response);
    const stream = new EventStream(response);
    stream.begin();
    stream.send(latest, RECORD);
    if (isFinalBatch(latest) || stop.aborted || request.method === 'HEAD') {
      stream.end();
      return;
    }
    const send = async (batch: Batch) => {
      const isNews = isFinalBatch(batch) || batch.status !== latest.status;
      latest = batch;
      const { request_counts, progress } = batch;
      if (isNews) stream.send(batch, RECORD);
      else if (stream.isRead) stream.send({ request_counts, progress }, { event: 'progress' });
      return await Promise.resolve(isFinalBatch(batch));
    };
    follow(response, { of: { id, tenant }, follower, stream, send, stop });
  });
  return router;
}
