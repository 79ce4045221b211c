/* POST /v1/predictions and /v1/models/{model}/predictions: what is asked for, accepted and answered. */
import { type Request, type Response, Router } from 'express';
import { JSON_MEDIA_TYPE } from '../../contract/payload.ts';
import { type AnswerDependencies, answerAccepted, submit } from '../http/answer-accepted.ts';
import type { Acceptance, AcceptedOrder } from '../../submission/acceptance.ts';
import type { Bodies } from '../http/bodies.ts';
import { formOrder, orderOf, rawOrder, requireNoRequestQuery } from './orders.ts';
import { orderHead } from '../http/order-head.ts';
import { type Order, type OrderHead, type ValidOrder, validated } from '../../submission/order.ts';
import { requireJson } from '../http/requests.ts';
import { submitQuerySchema } from './schemas.ts';
import { waitSecondsOf } from './waiting.ts';
import { INPUT, parseBody } from '../../submission/parse.ts';
import { modelRequestSchema, requestSchema } from '../../submission/request-schema.ts';

export interface SubmissionDependencies extends AnswerDependencies {
  readonly acceptance: Acceptance;
  readonly bodies: Bodies;
  readonly limits: { readonly maxUploadBytes: number };
}

export function submissionsRouter(dependencies: SubmissionDependencies): Router {
  const { acceptance } = dependencies;
  const router = Router();
  const { json } = dependencies.bodies;
  const answer = async (
    response: Response,
    waitS: number | null,
    accept: () => Promise<AcceptedOrder>,
  ) => {
    const order = await submit(response, dependencies, accept);
    await answerAccepted(response, order, waitS, dependencies);
  };
  const readWhole = async (request: Request, response: Response) =>
    await dependencies.bodies.read(request, response, dependencies.limits.maxUploadBytes);

  router.post('/predictions', json, async (request, response) => {
    requireJson(request);
    const waitS = waitSecondsOf(request, response);
    const { model, ...rest } = parseBody(requestSchema, request.body, [], INPUT);
    const head = orderHead(request, response, acceptance.resolve(model));
    const order = orderOf(request, head, rest, request.body);
    await answer(response, waitS, async () => await acceptance.accept(order));
  });

  router.post('/models/:model/predictions', json, async (request, response) => {
    const waitS = waitSecondsOf(request, response, submitQuerySchema);
    const head = orderHead(request, response, acceptance.resolve(request.params.model));
    await answer(response, waitS, async () => {
      if (request.is('multipart/form-data')) {
        return await acceptForm(request, head, acceptance);
      }
      const order = request.is(JSON_MEDIA_TYPE)
        ? jsonOrder(request, head)
        : await rawOrder(request, response, head, readWhole);
      return await acceptance.accept(order);
    });
  });
  return router;
}

/** Files are stored while they arrive. When the form is refused, they are removed again. */
async function acceptForm(
  request: Request,
  head: OrderHead,
  acceptance: Acceptance,
): Promise<AcceptedOrder> {
  const submission = await acceptance.begin(head);
  let order: ValidOrder;
  try {
    const upload = submission.upload.bind(submission);
    order = validated(await formOrder(request, head, upload));
  } catch (error) {
    await submission.discard();
    throw error;
  }
  return await submission.accept(order);
}

function jsonOrder(request: Request, head: OrderHead): Order {
  requireNoRequestQuery(request);
  return orderOf(
    request,
    head,
    parseBody(modelRequestSchema, request.body, [], INPUT),
    request.body,
  );
}
