import type { Response } from 'express';
import type { OutputRoom } from '../../records/prediction-reader.ts';
import type { Dialect } from './dialect.ts';

/** What is known of a request while it is answered; each member is written by the file that it names. */
export interface RequestContext {
  /** request-log.ts */
  requestId: string;
  /** problems.ts: why it was refused. */
  refusal?: { readonly code: string; readonly detail: string };
  /** request-log.ts: the prediction that it has made. */
  predictionId?: string;
  /** access.ts: the operation that it asks for. */
  operation?: string;
  /** access.ts */
  tenant: string;
  /** access.ts: the id of its API key. */
  keyId?: string;
  /** access.ts: whether its answer may show inputs and outputs. */
  mayRead?: boolean;
  /** access.ts: its key is no longer good. */
  isRevoked?: boolean;
  /** bodies.ts: how large it is, once it has been read. */
  bodyBytes?: number;
  /** bodies.ts: gives back the memory of its body. */
  releaseBody?: () => void;
  /** answers.ts: counts what its answer takes of the memory. */
  room?: OutputRoom;
  /** problems.ts: how its errors look; problem+json unless a router says otherwise. */
  dialect?: Dialect;
}

/** The context of the request that is answered by `response`. */
export const contextOf = (response: Response): RequestContext => response.locals as RequestContext;
