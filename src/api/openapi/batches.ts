/* The operations on batches. */
import { z } from 'zod';
import { BATCH_ID } from '../../contract/ids.ts';
import { batchRequestSchema } from '../../submission/request-schema.ts';
import {
  batchListQuerySchema,
  batchQuerySchema,
  redeliverSchema,
  waitQuerySchema,
} from '../v1/schemas.ts';
import { batchAnswer, deliveryAnswer, historyAnswer, pageOf } from './answers.ts';
import { answer, answers, bodyOf, type Documented, type DocumentedId, GUARDED } from './parts.ts';
import { polled, storedBytes, submission } from './predictions.ts';

const ofBatch = {
  path: z.object({
    id: z.string().regex(BATCH_ID).meta({ example: 'batch_01kb6v0x3dq2m8c5n7w9t4hjre' }),
  }),
};
const accepted = z.object({
  Location: z.string(),
  'Retry-After': z.string().optional(),
  'Idempotency-Replayed': z.string().optional(),
});
const lines = { schema: { type: 'string', format: 'binary' } as const };
const items = [{ custom_id: 'first', input: { x: [[1, 2, 3]] } }];

export const batches = {
  createBatch: {
    summary: 'Submit many inputs for one model: as JSON, or as JSON Lines',
    description: [
      'A line of JSON Lines is `{"custom_id": …, "input": …}`.',
      'Beside them, `?model=` names the model, and `?request=` holds the rest as JSON.',
    ].join(' '),
    requestParams: {
      header: submission.omit({ Prefer: true }),
      query: batchQuerySchema,
    },
    requestBody: {
      required: true,
      content: {
        ...bodyOf(batchRequestSchema, { model: 'affine', items }).content,
        'application/jsonl': lines,
        'application/x-ndjson': lines,
      },
    },
    responses: answers(
      { '202': answer('It is accepted, and will not be lost', batchAnswer, accepted) },
      [...GUARDED, 404, 410, 413, 415, 422, 429],
    ),
  },
  listBatches: {
    summary: 'Find batches',
    requestParams: { query: batchListQuerySchema },
    responses: answers({ '200': answer('A page', pageOf(batchAnswer)) }, GUARDED),
  },
  getBatch: {
    summary: 'Read a batch, or wait for its end',
    requestParams: {
      ...ofBatch,
      query: waitQuerySchema,
      header: submission.pick({ Prefer: true }),
    },
    responses: answers({ '200': answer('The record', batchAnswer, polled) }, [
      ...GUARDED,
      404,
      410,
    ]),
  },
  deleteBatch: {
    summary: 'Forget a batch that has ended, with all its data',
    requestParams: ofBatch,
    responses: answers({ '204': { description: 'It is gone' } }, [...GUARDED, 404, 409, 410]),
  },
  cancelBatch: {
    summary: 'Ask a batch to stop: what is done is kept',
    requestParams: ofBatch,
    responses: answers(
      {
        '200': answer('It had ended already', batchAnswer),
        '202': answer('It has been asked to', batchAnswer, polled),
      },
      [...GUARDED, 404, 410],
    ),
  },
  retryBatch: {
    summary: 'The items without an output once more, as a new batch',
    requestParams: { ...ofBatch, header: submission.pick({ 'Idempotency-Key': true }) },
    responses: answers({ '202': answer('It is accepted', batchAnswer, accepted) }, [
      ...GUARDED,
      404,
      409,
      410,
      422,
      429,
    ]),
  },
  getBatchOutput: {
    summary: 'The results as JSON Lines, in the order of the items',
    requestParams: ofBatch,
    responses: answers(
      {
        ...storedBytes('The results', { 'application/jsonl': lines }),
        '202': answer('It has not ended yet', batchAnswer, polled),
      },
      [...GUARDED, 404, 409, 410],
    ),
  },
  watchBatch: {
    summary: 'Follow a batch: server-sent events',
    requestParams: ofBatch,
    responses: answers(
      {
        '200': {
          description: '`batch` (the record), `progress`, and last `batch` again',
          content: { 'text/event-stream': {} },
        },
      },
      [...GUARDED, 404, 410],
    ),
  },
  getBatchHistory: {
    summary: 'What has happened: chunks, workers, failures',
    requestParams: ofBatch,
    responses: answers({ '200': answer('In the order of time', historyAnswer) }, [
      ...GUARDED,
      404,
      410,
    ]),
  },
  getBatchDeliveries: {
    summary: 'Who was told of its end, and how that went',
    requestParams: ofBatch,
    responses: answers({ '200': answer('One for each receiver', pageOf(deliveryAnswer)) }, [
      ...GUARDED,
      404,
      410,
    ]),
  },
  redeliverBatch: {
    summary: 'Tell its receivers again',
    requestParams: ofBatch,
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
