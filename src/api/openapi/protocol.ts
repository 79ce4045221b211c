/* The operations of the Open Inference Protocol. */
import { z } from 'zod';
import type { ZodOpenApiResponsesObject } from 'zod-openapi';
import { predictionAnswer, v2Answers } from './answers.ts';
import { answer, answers, type Documented, type DocumentedId, GUARDED } from './parts.ts';

const ofVersion = { path: z.object({ model: z.string(), version: z.string() }) };
const ofModel = { path: z.object({ model: z.string() }) };
const v2Problems = (...more: readonly number[]) => [...GUARDED, ...more];
const v2 = (own: ZodOpenApiResponsesObject, problems: readonly number[]) =>
  answers(own, problems, 'application/json');

/** What the Open Inference Protocol says of a model, with and without a version. */
const v2OfModel = (params: typeof ofModel | typeof ofVersion) => ({
  infer: {
    summary: 'Infer, and wait for the end (Open Inference Protocol)',
    requestParams: params,
    requestBody: {
      required: true,
      content: { 'application/json': { schema: { type: 'object' } as const } },
    },
    responses: v2(
      {
        '200': {
          description: 'The outputs; with bytes behind the JSON when they were asked for',
          content: {
            'application/json': { schema: v2Answers.infer },
            'application/octet-stream': { schema: { type: 'string', format: 'binary' } },
          },
        },
        '202': answer('With Prefer: respond-async', predictionAnswer),
      },
      v2Problems(404, 409, 413, 415, 422, 429),
    ),
  },
  metadata: {
    summary: 'The tensors of a model (Open Inference Protocol)',
    requestParams: params,
    responses: v2({ '200': answer('Its metadata', v2Answers.model) }, v2Problems(404)),
  },
  ready: {
    summary: 'Whether a model is served (Open Inference Protocol)',
    requestParams: params,
    responses: v2(
      {
        '200': answer('It is', v2Answers.modelReady),
        '503': answer('It is not', v2Answers.modelReady),
      },
      [400, 401, 403, 404, 500],
    ),
  },
});
const [unversioned, versioned] = [v2OfModel(ofModel), v2OfModel(ofVersion)];

export const protocol = {
  v2Infer: unversioned.infer,
  v2InferVersion: versioned.infer,
  v2Model: unversioned.metadata,
  v2ModelVersion: versioned.metadata,
  v2ModelReady: unversioned.ready,
  v2ModelVersionReady: versioned.ready,
  v2Index: {
    summary: 'The model repository (Open Inference Protocol)',
    responses: v2({ '200': answer('Every version', v2Answers.index) }, v2Problems()),
  },
  v2Server: {
    summary: 'What this server is (Open Inference Protocol)',
    responses: v2({ '200': answer('Its metadata', v2Answers.server) }, [400]),
  },
  v2Live: {
    summary: 'Whether the process answers (Open Inference Protocol)',
    responses: v2({ '200': answer('It does', v2Answers.live) }, [400]),
  },
  v2Ready: {
    summary: 'Whether it can infer (Open Inference Protocol)',
    responses: v2(
      { '200': answer('It can', v2Answers.ready), '503': answer('It cannot', v2Answers.ready) },
      [400],
    ),
  },
} satisfies Partial<Record<DocumentedId, Documented>>;
