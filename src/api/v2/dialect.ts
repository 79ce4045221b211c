import type { Dialect } from '../http/dialect.ts';

/** Errors as the clients of the protocol read them; KServe's shows only those of exactly this type. */
export const OPEN_INFERENCE: Dialect = {
  errorType: 'application/json',
  errorBody: (problem) => ({ error: problem.detail, ...problem }),
};
