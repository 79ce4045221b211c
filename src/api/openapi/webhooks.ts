/* The operations on webhook endpoints and their secrets. */
import { z } from 'zod';
import { ENDPOINT_ID } from '../../contract/ids.ts';
import {
  endpointChangesSchema,
  endpointSchema,
  pageQuerySchema,
  redeliverSinceSchema,
  rotateSchema,
} from '../v1/schemas.ts';
import {
  deliveryAnswer,
  endpointAnswer,
  pageOf,
  redeliveryAnswer,
  secretAnswer,
} from './answers.ts';
import { answer, answers, bodyOf, type Documented, type DocumentedId, GUARDED } from './parts.ts';

const ofEndpoint = { path: z.object({ id: z.string().regex(ENDPOINT_ID) }) };

export const webhooks = {
  listEndpoints: {
    summary: 'The webhook endpoints of the tenant',
    responses: answers({ '200': answer('All of them', pageOf(endpointAnswer)) }, GUARDED),
  },
  createEndpoint: {
    summary: 'Register a webhook endpoint',
    requestBody: { required: true, ...bodyOf(endpointSchema, { url: 'https://example.com/hook' }) },
    responses: answers(
      { '201': answer('Registered', endpointAnswer, z.object({ Location: z.string() })) },
      [...GUARDED, 413, 415, 422],
    ),
  },
  getEndpoint: {
    summary: 'Read a webhook endpoint',
    requestParams: ofEndpoint,
    responses: answers({ '200': answer('The endpoint', endpointAnswer) }, [...GUARDED, 404]),
  },
  changeEndpoint: {
    summary: 'Change a webhook endpoint',
    requestParams: ofEndpoint,
    requestBody: { required: true, ...bodyOf(endpointChangesSchema, { enabled: true }) },
    responses: answers({ '200': answer('As it is now', endpointAnswer) }, [
      ...GUARDED,
      404,
      413,
      415,
      422,
    ]),
  },
  deleteEndpoint: {
    summary: 'Remove a webhook endpoint',
    requestParams: ofEndpoint,
    responses: answers({ '204': { description: 'It is gone' } }, [...GUARDED, 404]),
  },
  listEndpointDeliveries: {
    summary: 'What an endpoint was told',
    requestParams: { ...ofEndpoint, query: pageQuerySchema },
    responses: answers({ '200': answer('A page', pageOf(deliveryAnswer)) }, [...GUARDED, 404]),
  },
  testEndpoint: {
    summary: 'Send a ping to an endpoint, and say what came of it',
    requestParams: ofEndpoint,
    responses: answers(
      {
        '200': answer('It was tried', deliveryAnswer),
        '202': answer('It is still being tried', deliveryAnswer),
      },
      [...GUARDED, 404, 429],
    ),
  },
  redeliverToEndpoint: {
    summary: 'Tell an endpoint again what has failed since a time',
    requestParams: ofEndpoint,
    requestBody: {
      required: true,
      ...bodyOf(redeliverSinceSchema, { since: '2026-01-01T00:00:00Z' }),
    },
    responses: answers({ '202': answer('So many are being told again', redeliveryAnswer) }, [
      ...GUARDED,
      404,
      413,
      415,
      422,
      429,
    ]),
  },
  getSecret: {
    summary: 'What webhooks are signed with',
    responses: answers({ '200': answer('The secret', secretAnswer) }, GUARDED),
  },
  rotateSecret: {
    summary: 'A new secret; the one before stays valid for a while',
    requestBody: bodyOf(rotateSchema),
    responses: answers({ '200': answer('The new secret', secretAnswer) }, [
      ...GUARDED,
      413,
      415,
      422,
      429,
    ]),
  },
} satisfies Partial<Record<DocumentedId, Documented>>;
