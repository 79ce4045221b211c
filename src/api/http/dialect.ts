/** An error as its client reads it (RFC 9457). */
interface ProblemBody {
  readonly detail: string;
  readonly [member: string]: unknown;
}

/** How the errors of a router's clients look. */
export interface Dialect {
  /** Their `Content-Type`. */
  readonly errorType: string;
  readonly errorBody: (problem: ProblemBody) => object;
  /** The status of an error, when it is not ours. */
  readonly statusOf?: (status: number) => number;
}

export const PROBLEM_JSON: Dialect = {
  errorType: 'application/problem+json',
  errorBody: (problem) => problem,
};
