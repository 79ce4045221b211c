import type { z } from 'zod';
import { MAX_ERRORS } from '../../contract/refusal.ts';
import { plainMessage } from '../../contract/issue-message.ts';
import { Problem } from './problems.ts';

/** Parses a query string; what does not fit is a 400. */
export function parseQuery<T>(schema: z.ZodType<T>, query: unknown): T {
  const parsed = schema.safeParse(query);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.slice(0, MAX_ERRORS).map((issue) => {
    const [name] = issue.path;
    return name === undefined ? plainMessage(issue) : `${String(name)} ${plainMessage(issue)}`;
  });
  throw new Problem('malformed_request', `in the query, ${where.join('; ')}`);
}
