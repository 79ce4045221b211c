/*
 * /v2: the Open Inference Protocol, for the clients of KServe and Triton. An infer call is a
 * prediction like any other, and the client waits for its end.
 */
import { type Request, type RequestHandler, type Response, Router } from 'express';
import type { Accepted } from '../../contract/prediction.ts';
import { predictionUrl } from '../../contract/prediction-record.ts';
import type { ModelRepository } from '../../models/repository.ts';
import type { Engine } from '../../temporal/engine.ts';
import type { PayloadStore } from '../../storage/payload-store.ts';
import type { Acceptance, AcceptedOrder } from '../../submission/acceptance.ts';
import { type AnswerDependencies, answerAccepted, submit } from '../http/answer-accepted.ts';
import { roomFor } from '../http/answers.ts';
import { requireReader } from '../http/access.ts';
import type { Bodies } from '../http/bodies.ts';
import { orderHead } from '../http/order-head.ts';
import { jsonInputs, type OrderHead, withEncoded } from '../../submission/order.ts';
import { Problem } from '../http/problems.ts';
import { INPUT, parseBody } from '../../submission/parse.ts';
import { modelRequestSchema } from '../../submission/request-schema.ts';
import { remember } from '../../records/remember.ts';
import { prefersAsync } from '../http/prefer.ts';
import { HEADER_LENGTH, type InferRequestV2, parseInferRequest } from './request.ts';
import { endProblem } from '../http/end-problem.ts';
import { inferResponse } from './response.ts';
import { findTensorModel, modelMetadata, repositoryIndex, serverMetadata } from './metadata.ts';

/** Anybody may ask whether it is ready. */
const READINESS_FRESH_MS = 1000;

export interface V2Dependencies extends AnswerDependencies {
  readonly repository: ModelRepository;
  readonly acceptance: Acceptance;
  readonly store: PayloadStore;
  readonly engine: Engine;
  readonly softwareVersion: string;
  readonly maxJsonBytes: number;
  readonly bodies: Bodies;
  readonly limits: { readonly maxUploadBytes: number };
}

export function v2Router(dependencies: V2Dependencies): Router {
  const { repository, acceptance, whyQueued, engine, softwareVersion } = dependencies;
  const router = Router();
  const raw = bodyReader(dependencies);
  const isEngineReady = remember(
    async () =>
      await engine.check().then(
        () => true,
        () => false,
      ),
    READINESS_FRESH_MS,
  );

  router.get('/', (_request, response) => void response.json(serverMetadata(softwareVersion)));
  router.get('/health/live', (_request, response) => void response.json({ live: true }));
  router.get('/health/ready', async (_request, response) => {
    const isReady = await isEngineReady();
    response.status(isReady ? 200 : 503).json({ ready: isReady });
  });
  router.post('/repository/index', async (_request, response) => {
    response.json(await repositoryIndex(repository, whyQueued));
  });

  const model = '/models/:model{/versions/:version}';
  router.get(model, (request, response) => {
    const { version, graph } = tensorModelOf(request, acceptance);
    response.json(modelMetadata(version, graph, repository));
  });
  router.get(`${model}/ready`, async (request, response) => {
    const { version } = tensorModelOf(request, acceptance);
    const workers = await whyQueued.workersOf(version.ref);
    const isReady = workers.some(({ state }) => state !== 'unavailable');
    response.status(isReady ? 200 : 503).json({ name: version.ref.name, ready: isReady });
  });
  // Whether there is such a model is looked at before its body is read.
  const known: RequestHandler = (request, _response, next) => {
    tensorModelOf(request, acceptance);
    next();
  };
  router.post(`${model}/infer`, known, raw, async (request, response) => {
    const { order, wanted } = await submitInfer(request, response, dependencies);
    if (wanted.isAsync) await answerAccepted(response, order, null, dependencies);
    else await answerOutput(response, order.accepted, wanted, dependencies);
  });
  return router;
}

/** What is left of a request when its inputs are stored: they are not kept while the client waits. */
interface WantedAnswer extends Pick<InferRequestV2, 'id' | 'outputs' | 'waitS'> {
  readonly isAsync: boolean;
}

async function submitInfer(
  request: Request,
  response: Response,
  dependencies: V2Dependencies,
): Promise<{ readonly order: AcceptedOrder; readonly wanted: WantedAnswer }> {
  const { acceptance, waitLimit, maxJsonBytes } = dependencies;
  const { version, graph } = tensorModelOf(request, acceptance);
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  const infer = parseInferRequest(body, request.get(HEADER_LENGTH), graph, maxJsonBytes);
  const isAsync = prefersAsync(request, response);
  if (request.get('Idempotency-Key') !== undefined) {
    throw new Problem('malformed_request', 'Idempotency-Key is not read here: submit to /v1');
  }
  if (!isAsync) {
    requireReader(response, 'this needs the scope read too, or Prefer: respond-async');
    waitLimit.requireRoom(response); // before it is accepted
  }
  const head = orderHead(request, response, version);
  const order = await submit(response, dependencies, async () => {
    return await accept(head, infer, acceptance);
  });
  const { id, outputs, waitS } = infer;
  return { order, wanted: { id, outputs, waitS, isAsync } };
}

/** Clients name all kinds of media types, or none: the body is what its header says. */
function bodyReader({ bodies, limits, maxJsonBytes }: V2Dependencies): RequestHandler {
  const json = bodies.bytes(maxJsonBytes, (_request, body) => body.length);
  const binary = bodies.bytes(limits.maxUploadBytes, (request, body) => {
    return Math.min(body.length, Number(request.get(HEADER_LENGTH)) || 0);
  });
  return async (request, response, next) => {
    const read = request.get(HEADER_LENGTH) === undefined ? json : binary;
    await read(request, response, next);
  };
}

function tensorModelOf(request: Request, acceptance: Acceptance) {
  const { model, version } = request.params as { model: string; version?: string };
  return findTensorModel(acceptance, model, version);
}

async function accept(
  head: OrderHead,
  { inputs: tensors, outputs, encoding, priority }: InferRequestV2,
  acceptance: Acceptance,
): Promise<AcceptedOrder> {
  const options = outputs.some(({ isBinary }) => isBinary) ? { binary: true } : {};
  const request = { input: { inputs: tensors }, options, priority };
  const { input, ...terms } = parseBody(modelRequestSchema, request, [], INPUT);
  const inJson = jsonInputs(head.version, input);
  const inputs = encoding === null ? inJson : withEncoded(inJson, 'inputs', encoding);
  return await acceptance.accept({ ...head, inputs, terms, asSent: null });
}

/** Waits for the output, and answers with it. */
async function answerOutput(
  response: Response,
  accepted: Accepted,
  wanted: WantedAnswer,
  { predictions, reader, store, publicUrl, waitLimit }: V2Dependencies,
): Promise<void> {
  const { id } = accepted;
  const waited = await waitLimit.bounded(response, wanted.waitS, async (signal) => {
    return await predictions.waitForEnd(id, signal);
  });
  const ended = waited ?? (await reader.find(id, accepted.tenant)).ended; // canceled, or ended from outside
  if (ended === null) {
    const detail = `${id} has not ended yet; it goes on: read it at ${predictionUrl(publicUrl, id)}`;
    throw new Problem('not_ended', detail, { members: { prediction_id: id } });
  }
  if (ended.status !== 'succeeded') throw endProblem(accepted, ended);
  const result = await inferResponse(accepted, ended.output, wanted, store, roomFor(response));
  const isJson = result.headerLength === null;
  response.setHeader('Content-Type', isJson ? 'application/json' : 'application/octet-stream');
  if (!isJson) response.setHeader(HEADER_LENGTH, String(result.headerLength));
  response.setHeader('Content-Length', result.body.length);
  response.end(result.body);
}
