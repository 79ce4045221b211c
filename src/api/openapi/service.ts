/* The operations on models and on the service itself. */
import { z } from 'zod';
import { healthAnswer, indexAnswer, readinessAnswer } from './answers.ts';
import { modelAnswer, modelsAnswer } from './models.ts';
import { answer, answers, type Documented, type DocumentedId, GUARDED } from './parts.ts';

const model = z
  .string()
  .meta({ description: '`ocr`, or a version of it: `ocr@1`', example: 'ocr' });

export const service = {
  listModels: {
    summary: 'The models that are served',
    responses: answers({ '200': answer('All of them', modelsAnswer) }, GUARDED),
  },
  getModel: {
    summary: 'A model: its schemas, its workers, its state',
    requestParams: { path: z.object({ model }) },
    responses: answers({ '200': answer('The model', modelAnswer) }, [...GUARDED, 404]),
  },
  getIndex: {
    summary: 'What there is',
    responses: answers({ '200': answer('URLs', indexAnswer) }, [400]),
  },
  getHealth: {
    summary: 'Whether the process answers',
    responses: answers({ '200': answer('It does', healthAnswer) }, [400]),
  },
  getReadiness: {
    summary: 'Whether it can accept predictions',
    responses: answers(
      {
        '200': answer('It can', readinessAnswer),
        '503': answer('It cannot: `checks` says why', readinessAnswer),
      },
      [400],
    ),
  },
} satisfies Partial<Record<DocumentedId, Documented>>;
