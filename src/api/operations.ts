/*
 * Everything the API can be asked: the one list that access, 405 and the OpenAPI document are made
 * of. What is not in it cannot be reached.
 */
import type { Request } from 'express';
import type { z } from 'zod';
import type { Scope } from '../access/api-key.ts';
import { Problem } from './http/problems.ts';
import {
  batchListQuerySchema as openAiBatchListQuerySchema,
  fileListQuerySchema as openAiFileListQuerySchema,
  retrieveQuerySchema,
} from './openai/schemas.ts';
import {
  batchListQuerySchema,
  batchQuerySchema,
  eventsQuerySchema,
  fileListQuerySchema,
  fileQuerySchema,
  listQuerySchema,
  pageQuerySchema,
  partialQuerySchema,
  submitQuerySchema,
  waitQuerySchema,
} from './v1/schemas.ts';

export interface Operation {
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** `{name}` stands for one segment. */
  readonly path: string;
  /** What a key must be allowed to do; null: it needs no key. */
  readonly scope: Scope | null;
}

/** The busiest first. */
export const OPERATIONS = [
  { id: 'getPrediction', method: 'GET', path: '/v1/predictions/{id}', scope: 'read' },
  { id: 'createPrediction', method: 'POST', path: '/v1/predictions', scope: 'predict' },
  {
    id: 'createModelPrediction',
    method: 'POST',
    path: '/v1/models/{model}/predictions',
    scope: 'predict',
  },
  { id: 'listPredictions', method: 'GET', path: '/v1/predictions', scope: 'read' },
  { id: 'deletePrediction', method: 'DELETE', path: '/v1/predictions/{id}', scope: 'predict' },
  { id: 'changePrediction', method: 'PATCH', path: '/v1/predictions/{id}', scope: 'predict' },
  { id: 'cancelPrediction', method: 'POST', path: '/v1/predictions/{id}/cancel', scope: 'predict' },
  { id: 'retryPrediction', method: 'POST', path: '/v1/predictions/{id}/retry', scope: 'predict' },
  { id: 'getOutput', method: 'GET', path: '/v1/predictions/{id}/output', scope: 'read' },
  {
    id: 'getOutputImage',
    method: 'GET',
    path: '/v1/predictions/{id}/output/{image}',
    scope: 'read',
  },
  {
    id: 'getPartialOutput',
    method: 'GET',
    path: '/v1/predictions/{id}/partial_output',
    scope: 'read',
  },
  { id: 'getInput', method: 'GET', path: '/v1/predictions/{id}/input/{field}', scope: 'read' },
  { id: 'watchPrediction', method: 'GET', path: '/v1/predictions/{id}/events', scope: 'read' },
  { id: 'getHistory', method: 'GET', path: '/v1/predictions/{id}/history', scope: 'read' },
  { id: 'getDeliveries', method: 'GET', path: '/v1/predictions/{id}/webhook', scope: 'read' },
  {
    id: 'redeliver',
    method: 'POST',
    path: '/v1/predictions/{id}/webhook/redeliver',
    scope: 'predict',
  },
  { id: 'createBatch', method: 'POST', path: '/v1/batches', scope: 'predict' },
  { id: 'listBatches', method: 'GET', path: '/v1/batches', scope: 'read' },
  { id: 'getBatch', method: 'GET', path: '/v1/batches/{id}', scope: 'read' },
  { id: 'deleteBatch', method: 'DELETE', path: '/v1/batches/{id}', scope: 'predict' },
  { id: 'cancelBatch', method: 'POST', path: '/v1/batches/{id}/cancel', scope: 'predict' },
  { id: 'retryBatch', method: 'POST', path: '/v1/batches/{id}/retry', scope: 'predict' },
  { id: 'getBatchOutput', method: 'GET', path: '/v1/batches/{id}/output', scope: 'read' },
  { id: 'watchBatch', method: 'GET', path: '/v1/batches/{id}/events', scope: 'read' },
  { id: 'getBatchHistory', method: 'GET', path: '/v1/batches/{id}/history', scope: 'read' },
  { id: 'getBatchDeliveries', method: 'GET', path: '/v1/batches/{id}/webhook', scope: 'read' },
  {
    id: 'redeliverBatch',
    method: 'POST',
    path: '/v1/batches/{id}/webhook/redeliver',
    scope: 'predict',
  },
  { id: 'createFile', method: 'POST', path: '/v1/files', scope: 'predict' },
  { id: 'listFiles', method: 'GET', path: '/v1/files', scope: 'read' },
  { id: 'getFile', method: 'GET', path: '/v1/files/{id}', scope: 'read' },
  { id: 'getFileContent', method: 'GET', path: '/v1/files/{id}/content', scope: 'read' },
  { id: 'deleteFile', method: 'DELETE', path: '/v1/files/{id}', scope: 'predict' },
  { id: 'putFilePart', method: 'PUT', path: '/v1/files/{id}/parts/{number}', scope: 'predict' },
  { id: 'completeFile', method: 'POST', path: '/v1/files/{id}/complete', scope: 'predict' },
  { id: 'listEndpoints', method: 'GET', path: '/v1/webhook_endpoints', scope: 'admin' },
  { id: 'createEndpoint', method: 'POST', path: '/v1/webhook_endpoints', scope: 'admin' },
  { id: 'getEndpoint', method: 'GET', path: '/v1/webhook_endpoints/{id}', scope: 'admin' },
  { id: 'changeEndpoint', method: 'PATCH', path: '/v1/webhook_endpoints/{id}', scope: 'admin' },
  { id: 'deleteEndpoint', method: 'DELETE', path: '/v1/webhook_endpoints/{id}', scope: 'admin' },
  {
    id: 'listEndpointDeliveries',
    method: 'GET',
    path: '/v1/webhook_endpoints/{id}/deliveries',
    scope: 'admin',
  },
  { id: 'testEndpoint', method: 'POST', path: '/v1/webhook_endpoints/{id}/test', scope: 'admin' },
  {
    id: 'redeliverToEndpoint',
    method: 'POST',
    path: '/v1/webhook_endpoints/{id}/redeliver',
    scope: 'admin',
  },
  { id: 'getSecret', method: 'GET', path: '/v1/webhook_secret', scope: 'admin' },
  { id: 'rotateSecret', method: 'POST', path: '/v1/webhook_secret/rotate', scope: 'admin' },
  { id: 'listModels', method: 'GET', path: '/v1/models', scope: 'read' },
  { id: 'getModel', method: 'GET', path: '/v1/models/{model}', scope: 'read' },
  { id: 'getOpenApi', method: 'GET', path: '/openapi.json', scope: null },
  { id: 'getDocs', method: 'GET', path: '/docs', scope: null },
  { id: 'getDocsAsset', method: 'GET', path: '/docs/{asset}', scope: null },
  { id: 'getRoot', method: 'GET', path: '/', scope: null },
  { id: 'getIndex', method: 'GET', path: '/v1', scope: null },
  { id: 'openaiChat', method: 'POST', path: '/openai/v1/chat/completions', scope: 'predict' },
  { id: 'openaiCompletion', method: 'POST', path: '/openai/v1/completions', scope: 'predict' },
  {
    id: 'openaiImages',
    method: 'POST',
    path: '/openai/v1/images/generations',
    scope: 'predict',
  },
  { id: 'openaiEmbeddings', method: 'POST', path: '/openai/v1/embeddings', scope: 'predict' },
  { id: 'openaiCreateResponse', method: 'POST', path: '/openai/v1/responses', scope: 'predict' },
  { id: 'openaiGetResponse', method: 'GET', path: '/openai/v1/responses/{id}', scope: 'read' },
  {
    id: 'openaiCancelResponse',
    method: 'POST',
    path: '/openai/v1/responses/{id}/cancel',
    scope: 'predict',
  },
  { id: 'openaiCreateFile', method: 'POST', path: '/openai/v1/files', scope: 'predict' },
  { id: 'openaiListFiles', method: 'GET', path: '/openai/v1/files', scope: 'read' },
  { id: 'openaiGetFile', method: 'GET', path: '/openai/v1/files/{id}', scope: 'read' },
  { id: 'openaiGetContent', method: 'GET', path: '/openai/v1/files/{id}/content', scope: 'read' },
  { id: 'openaiDeleteFile', method: 'DELETE', path: '/openai/v1/files/{id}', scope: 'predict' },
  { id: 'openaiCreateBatch', method: 'POST', path: '/openai/v1/batches', scope: 'predict' },
  { id: 'openaiListBatches', method: 'GET', path: '/openai/v1/batches', scope: 'read' },
  { id: 'openaiGetBatch', method: 'GET', path: '/openai/v1/batches/{id}', scope: 'read' },
  {
    id: 'openaiCancelBatch',
    method: 'POST',
    path: '/openai/v1/batches/{id}/cancel',
    scope: 'predict',
  },
  { id: 'openaiListModels', method: 'GET', path: '/openai/v1/models', scope: 'read' },
  { id: 'openaiGetModel', method: 'GET', path: '/openai/v1/models/{model}', scope: 'read' },
  { id: 'v2Infer', method: 'POST', path: '/v2/models/{model}/infer', scope: 'predict' },
  {
    id: 'v2InferVersion',
    method: 'POST',
    path: '/v2/models/{model}/versions/{version}/infer',
    scope: 'predict',
  },
  { id: 'v2Model', method: 'GET', path: '/v2/models/{model}', scope: 'read' },
  {
    id: 'v2ModelVersion',
    method: 'GET',
    path: '/v2/models/{model}/versions/{version}',
    scope: 'read',
  },
  { id: 'v2ModelReady', method: 'GET', path: '/v2/models/{model}/ready', scope: 'read' },
  {
    id: 'v2ModelVersionReady',
    method: 'GET',
    path: '/v2/models/{model}/versions/{version}/ready',
    scope: 'read',
  },
  { id: 'v2Index', method: 'POST', path: '/v2/repository/index', scope: 'read' },
  { id: 'v2Server', method: 'GET', path: '/v2', scope: null },
  { id: 'v2Live', method: 'GET', path: '/v2/health/live', scope: null },
  { id: 'v2Ready', method: 'GET', path: '/v2/health/ready', scope: null },
  { id: 'getHealth', method: 'GET', path: '/healthz', scope: null },
  { id: 'getReadiness', method: 'GET', path: '/readyz', scope: null },
] as const satisfies readonly Operation[];

export type OperationId = (typeof OPERATIONS)[number]['id'];

const ROUTES = OPERATIONS.map((operation) => ({
  operation: operation as Operation,
  pattern: new RegExp(`^${operation.path.replaceAll(/\{\w+\}/g, '[^/]+')}/?$`),
}));

/** The operation that a request asks for; throws the problems `not_found` and `method_not_allowed`. */
export function operationOf({ method, path }: Pick<Request, 'method' | 'path'>): Operation {
  const wanted = method === 'HEAD' ? 'GET' : method;
  const found = ROUTES.find(
    ({ operation, pattern }) => operation.method === wanted && pattern.test(path),
  );
  if (found !== undefined) return found.operation;
  const allowed = methodsAt(path);
  if (allowed === '') {
    throw new Problem('not_found', `nothing is at ${path}; /v1 lists what there is`);
  }
  throw new Problem('method_not_allowed', `${path} takes ${allowed}`, {
    headers: { Allow: allowed },
  });
}

/** The queries of the operations that have any, as their routes parse them. */
const QUERIES: Readonly<Partial<Record<string, z.ZodObject>>> = {
  createPrediction: waitQuerySchema,
  createModelPrediction: submitQuerySchema,
  retryPrediction: waitQuerySchema,
  getPrediction: waitQuerySchema,
  watchPrediction: eventsQuerySchema,
  getPartialOutput: partialQuerySchema,
  listPredictions: listQuerySchema,
  createBatch: batchQuerySchema,
  listBatches: batchListQuerySchema,
  createFile: fileQuerySchema,
  listFiles: fileListQuerySchema,
  getBatch: waitQuerySchema,
  listEndpointDeliveries: pageQuerySchema,
  openaiGetResponse: retrieveQuerySchema,
  openaiListFiles: openAiFileListQuerySchema,
  openaiListBatches: openAiBatchListQuerySchema,
} satisfies Partial<Record<OperationId, z.ZodObject>>;

/** Throws a problem when a query has a parameter that its operation does not know: it is a mistake. */
export function requireKnownQuery({ id, scope }: Operation, query: object): void {
  if (scope === null) return;
  const known = Object.keys(QUERIES[id]?.shape ?? {});
  const unknown = Object.keys(query).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const what = known.length === 0 ? 'no parameters' : known.join(', ');
  const detail = `in the query, ${unknown.slice(0, 100)} is not known here; this takes ${what}`;
  throw new Problem('malformed_request', detail);
}

/** What a path takes, as the header `Allow` says it; empty when nothing is there. */
export const methodsAt = (path: string): string =>
  ROUTES.filter(({ pattern }) => pattern.test(path))
    .map(({ operation }) => operation.method)
    .toSorted()
    .join(', ');
