/* The operations on predictions. */
import { z } from 'zod';
import { PREDICTION_ID } from '../../contract/ids.ts';
import {
  eventsQuerySchema,
  listQuerySchema,
  partialQuerySchema,
  redeliverSchema,
  waitQuerySchema,
} from '../v1/schemas.ts';
import {
  modelRequestSchema,
  predictionChangesSchema,
  requestSchema,
} from '../../submission/request-schema.ts';
import { deliveryAnswer, historyAnswer, pageOf, predictionAnswer } from './answers.ts';
import { answer, answers, bodyOf, type Documented, type DocumentedId, GUARDED } from './parts.ts';

const predictionId = z
  .string()
  .regex(PREDICTION_ID)
  .meta({ example: 'pred_01kb6v0x3dq2m8c5n7w9t4hjre' });
const model = z
  .string()
  .meta({ description: '`affine`, or a version of it: `affine@1`', example: 'affine' });
const ofPrediction = { path: z.object({ id: predictionId }) };

const idempotency = z.string().min(1).max(255).optional().meta({
  description: 'The same request with the same key is the same prediction.',
});
const prefer = z.string().optional().meta({
  description: '`wait` or `wait=<seconds>`: answer when it has ended, or after so long (60 s).',
  example: 'wait=30',
});
export const submission = z.object({
  'Idempotency-Key': idempotency,
  Prefer: prefer,
  'Cancel-After': z.string().optional().meta({ description: 'A deadline, such as `1h30m`.' }),
  traceparent: z.string().optional().meta({ description: 'W3C Trace Context.' }),
});

const accepted = z.object({
  Location: z.string(),
  'Retry-After': z.string().optional(),
  'Idempotency-Replayed': z.string().optional(),
  'Preference-Applied': z.string().optional(),
  RateLimit: z.string(),
  'RateLimit-Policy': z.string(),
});
const submissionAnswers = answers(
  {
    '200': answer('It has ended while it was waited for', predictionAnswer, accepted),
    '202': answer('It is accepted, and will not be lost', predictionAnswer, accepted),
  },
  [...GUARDED, 404, 410, 413, 415, 422, 429],
);
export const polled = z.object({ 'Retry-After': z.string().optional() });
/** Any JSON, or media of any type. */
export const anyBytes = {
  'application/json': { schema: {} },
  '*/*': { schema: { type: 'string', format: 'binary' } as const },
};

const image = { schema: { type: 'string', format: 'binary' } as const };
const anyImage = { 'image/png': image, 'image/webp': image, 'image/jpeg': image };

const UNCHANGED = { description: '`If-None-Match` names what is here' };
const REDIRECTED = {
  description: 'It is large, and read from the bucket itself (`BUZZER_S3_REDIRECT`)',
};

/** How stored bytes are answered: `whole` says what they are. */
export const storedBytes = <Content extends object>(whole: string, content: Content) => ({
  '200': { description: whole, content },
  '206': { description: 'A piece of it', content },
  '304': UNCHANGED,
  '307': REDIRECTED,
  '416': { description: 'There is no such piece' },
});

export const predictions = {
  createPrediction: {
    summary: 'Submit a prediction',
    requestParams: { header: submission, query: waitQuerySchema },
    requestBody: {
      required: true,
      ...bodyOf(requestSchema, { model: 'affine', input: { x: [[1, 2, 3]] } }),
    },
    responses: submissionAnswers,
  },
  createModelPrediction: {
    summary: 'Submit a prediction of one model: JSON, media bytes, or a form',
    requestParams: {
      header: submission,
      path: z.object({ model }),
      query: waitQuerySchema.extend({
        request: z
          .string()
          .optional()
          .meta({ description: 'Beside media bytes: the rest, as JSON.' }),
      }),
    },
    requestBody: {
      required: true,
      content: {
        'application/json': { schema: modelRequestSchema, example: { input: { x: [[1, 2, 3]] } } },
        'application/octet-stream': { schema: { type: 'string', format: 'binary' } },
        'multipart/form-data': {
          schema: {
            type: 'object',
            properties: { request: { type: 'string', description: 'The rest, as JSON.' } },
            additionalProperties: { type: 'string', format: 'binary' },
          },
        },
      },
    },
    responses: submissionAnswers,
  },
  getPrediction: {
    summary: 'Read a prediction, or wait for its end',
    requestParams: {
      ...ofPrediction,
      query: waitQuerySchema,
      header: z.object({ Prefer: prefer }),
    },
    responses: answers({ '200': answer('The record', predictionAnswer, polled) }, [
      ...GUARDED,
      404,
      410,
    ]),
  },
  listPredictions: {
    summary: 'Find predictions',
    description: [
      'First the active predictions, the one accepted last first;',
      'then the ended ones, the one that ended last first.',
      'Large values are references: see `include`.',
    ].join(' '),
    requestParams: { query: listQuerySchema },
    responses: answers({ '200': answer('A page', pageOf(predictionAnswer)) }, GUARDED),
  },
  deletePrediction: {
    summary: 'Forget a prediction that has ended, with all its data',
    requestParams: ofPrediction,
    responses: answers({ '204': { description: 'It is gone' } }, [...GUARDED, 404, 409, 410]),
  },
  changePrediction: {
    summary: 'Give a prediction that waits another priority, queue_ttl or deadline',
    requestParams: ofPrediction,
    requestBody: { required: true, ...bodyOf(predictionChangesSchema, { priority: 1 }) },
    responses: answers(
      { '200': answer('The record, with the new terms', predictionAnswer, polled) },
      [...GUARDED, 404, 409, 410, 413, 415, 422],
    ),
  },
  cancelPrediction: {
    summary: 'Ask a prediction to stop',
    requestParams: ofPrediction,
    responses: answers(
      {
        '200': answer('It had ended already', predictionAnswer),
        '202': answer('It has been asked to', predictionAnswer, polled),
      },
      [...GUARDED, 404, 410],
    ),
  },
  retryPrediction: {
    summary: 'The same input once more, as a new prediction',
    requestParams: {
      ...ofPrediction,
      query: waitQuerySchema,
      header: submission.pick({ 'Idempotency-Key': true, Prefer: true }),
    },
    responses: answers(
      {
        '200': answer('It has ended while it was waited for', predictionAnswer, accepted),
        '202': answer('It is accepted', predictionAnswer, accepted),
      },
      [...GUARDED, 404, 409, 410, 422, 429],
    ),
  },
  getOutput: {
    summary: 'The output alone, as it is, or in another form',
    description:
      'The forms of a model are listed at `/v1/models/{model}`; `Accept` chooses one. Without it the output comes as it is. Of an output with one image, `Accept: image/*` gets that image.',
    requestParams: ofPrediction,
    responses: answers(
      {
        ...storedBytes('The output', anyBytes),
        '202': answer('It has not ended yet', predictionAnswer, polled),
      },
      [...GUARDED, 404, 409, 410],
    ),
  },
  getOutputImage: {
    summary: 'An image of the output',
    requestParams: {
      path: z.object({
        id: predictionId,
        image: z.string().describe('Its place in `images` of the output, from 0.'),
      }),
    },
    responses: answers(
      {
        ...storedBytes('The image', anyImage),
        '202': answer('It has not ended yet', predictionAnswer, polled),
      },
      [...GUARDED, 404, 409, 410],
    ),
  },
  getPartialOutput: {
    summary:
      'What is done of the output by now: a text, the pages of a document, or the latest preview of an image',
    requestParams: { ...ofPrediction, query: partialQuerySchema },
    responses: answers(
      {
        '200': {
          description: 'The text, the pages as JSON Lines, or the preview',
          content: {
            'text/plain': {},
            'application/x-ndjson': {},
            'image/png': {},
            'image/webp': {},
            'image/jpeg': {},
          },
        },
      },
      [...GUARDED, 404, 410],
    ),
  },
  getInput: {
    summary: 'One field of the input, as it was given',
    requestParams: { path: z.object({ id: predictionId, field: z.string() }) },
    responses: answers(storedBytes('The value, or the media', anyBytes), [...GUARDED, 404, 410]),
  },
  watchPrediction: {
    summary: 'Follow a prediction: server-sent events',
    requestParams: {
      ...ofPrediction,
      query: eventsQuerySchema,
      header: z.object({
        'Last-Event-ID': z
          .string()
          .optional()
          .describe('`id` of the last `output` event that was had: its text goes on behind it.'),
      }),
    },
    responses: answers(
      {
        '200': {
          description:
            '`prediction` (the record), `progress`, `output` (a piece of text), `partial_output` (more pages of a document, or another preview of an image), and last `prediction` again',
          content: { 'text/event-stream': {} },
        },
      },
      [...GUARDED, 404, 410],
    ),
  },
  getHistory: {
    summary: 'What has happened: attempts, workers, failures',
    requestParams: ofPrediction,
    responses: answers({ '200': answer('In the order of time', historyAnswer) }, [
      ...GUARDED,
      404,
      410,
    ]),
  },
  getDeliveries: {
    summary: 'Who was told of its end, and how that went',
    requestParams: ofPrediction,
    responses: answers({ '200': answer('One for each receiver', pageOf(deliveryAnswer)) }, [
      ...GUARDED,
      404,
      410,
    ]),
  },
  redeliver: {
    summary: 'Tell its receivers again',
    requestParams: ofPrediction,
    requestBody: bodyOf(redeliverSchema),
    responses: answers({ '202': answer('They are being told', pageOf(deliveryAnswer)) }, [
      ...GUARDED,
      404,
      409,
      410,
      413,
      415,
      422,
      429,
    ]),
  },
} satisfies Partial<Record<DocumentedId, Documented>>;
