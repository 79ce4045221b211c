/* One line for each request, with the id that its problem also carries. */
import { randomUUID } from 'node:crypto';
import type { RequestHandler, Response } from 'express';
import { RECORD_ID_WITHIN } from '../../contract/ids.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { contextOf } from './context.ts';
import { traceparentOf } from './traceparent.ts';

/** A client's own, to find its request in our log by: nothing that could be taken for more than an id. */
const REQUEST_ID = /^[\w.:-]{1,128}$/;

/** Whatever holds something for a request listens for its end: its body, its place, its key, its memory. */
const MAX_LISTENERS = 30;

/** Where Temporal's Web UI shows a workflow; null: nobody has said where the Web UI is. */
export type WorkflowUrl = ((id: string) => string) | null;

export const requestLog =
  (logger: Logger, workflowUrl: WorkflowUrl): RequestHandler =>
  (request, response, next) => {
    const startedAt = performance.now();
    response.setMaxListeners(MAX_LISTENERS);
    const given = request.get('X-Request-Id') ?? '';
    const requestId = REQUEST_ID.test(given) ? given : randomUUID();
    contextOf(response).requestId = requestId;
    response.setHeader('X-Request-Id', requestId);
    response.once('close', () => {
      const { method } = request;
      const level = method === 'POST' || response.statusCode >= 500 ? 'info' : 'debug';
      if (!logger.isLevelEnabled(level)) return;
      const path = request.originalUrl.split('?')[0] ?? '';
      const { tenant, keyId: key, operation, predictionId, refusal } = contextOf(response);
      const [id] = RECORD_ID_WITHIN.exec(path) ?? [predictionId];
      const trace = traceparentOf(request)?.split('-')[1];
      const line = {
        request_id: requestId,
        operation,
        method,
        url: path,
        status: response.statusCode,
        ...refusal,
        ms: Math.round(performance.now() - startedAt),
        tenant,
        key,
        trace_id: trace,
        ...(id?.startsWith('batch_') === true ? { batch: id } : { prediction: id }),
        workflow: id === undefined ? undefined : workflowUrl?.(id),
      };
      const isGone = !response.writableFinished;
      logger[level](line, isGone ? 'the client hung up' : 'answered');
    });
    next();
  };

/** Has the log say which prediction a request has made. */
export const logAbout = (response: Response, id: string): void => {
  contextOf(response).predictionId = id;
};
