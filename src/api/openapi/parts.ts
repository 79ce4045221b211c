/* What the descriptions of operations are made of. */
import { z } from 'zod';
import type {
  ZodOpenApiOperationObject,
  ZodOpenApiResponseObject,
  ZodOpenApiResponsesObject,
} from 'zod-openapi';
import type { OperationId } from '../operations.ts';
import { problemAnswer } from './answers.ts';

/** These are about the API itself. */
export type DocumentedId = Exclude<
  OperationId,
  'getOpenApi' | 'getDocs' | 'getDocsAsset' | 'getRoot'
>;
export type Documented = Omit<ZodOpenApiOperationObject, 'operationId' | 'security'>;

/** `example` can be sent as it is. */
export const bodyOf = (schema: z.ZodType, example: object = {}) => ({
  content: { 'application/json': { schema, example } },
});
export const answer = (
  description: string,
  schema: z.ZodType,
  headers?: z.ZodObject,
): ZodOpenApiResponseObject => ({
  description,
  content: { 'application/json': { schema } },
  ...(headers === undefined ? {} : { headers }),
});

const PROBLEMS: Readonly<Record<number, string>> = {
  400: 'It cannot be understood: JSON, a header, an id or the query',
  401: 'An API key is needed, or this one is no longer valid',
  403: 'The API key may not do this',
  404: 'There is no such thing',
  408: 'The body came too slowly',
  409: 'Not in this state',
  410: 'It has expired or was deleted',
  413: 'The body is too large',
  415: 'Not a media type that is taken here',
  422: 'Well-formed, and refused: `errors` says where',
  429: 'Too many under way, or too fast',
  500: 'Our fault',
  503: 'The engine, the store or the model is not to be had now: try again after `Retry-After`',
};
const retryLater = z.object({ 'Retry-After': z.string().optional() });

/** The answers of an operation: its own, and problems of these statuses. */
export function answers(
  own: ZodOpenApiResponsesObject,
  problems: readonly number[],
  mediaType = 'application/problem+json',
  problem: z.ZodType = problemAnswer,
): ZodOpenApiResponsesObject {
  const isRead = problems.includes(413); // what has a body that is read may be slow, too
  const all = [...problems, ...(isRead ? [408] : [])].map(
    (status): [string, ZodOpenApiResponseObject] => [
      String(status),
      {
        description: PROBLEMS[status] ?? '',
        content: { [mediaType]: { schema: problem } },
        ...(status === 429 || status === 503 ? { headers: retryLater } : {}),
      },
    ],
  );
  return { ...own, ...Object.fromEntries(all) };
}

/** What any operation may answer that needs a key. */
export const GUARDED = [400, 401, 403, 500, 503] as const;
