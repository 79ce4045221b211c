/*
 * Values that strangers send, against a schema: what does not fit is refused with its first places. What
 * is counted before it is validated cannot hold anybody up.
 */
import type { z } from 'zod';
import { plainMessage } from '../contract/issue-message.ts';
import {
  invalidAt,
  MAX_ERRORS,
  Refusal,
  type RefusalDetail,
  toPointer,
} from '../contract/refusal.ts';

/** The most members of an object, and elements of an array, outside large values. */
const MAX_MEMBERS = 1000;

/** Where values may be large: what checks them measures them itself before it looks at each element. */
export type IsLarge = (path: readonly string[]) => boolean;
const NOWHERE: IsLarge = () => false;
/** The input may be large: the pipeline of its model measures it. */
export const INPUT: IsLarge = ([first]) => first === 'input';

/**
 * Parses well-formed JSON; what does not fit is refused, with the first places. Everything outside
 * `isLarge` is counted first: a million wrong elements would each become an issue.
 */
export function parseBody<T>(
  schema: z.ZodType<T>,
  value: unknown,
  at: readonly string[] = [],
  isLarge: IsLarge = NOWHERE,
): T {
  refuseCrowd(value, at, isLarge);
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors: RefusalDetail[] = [];
  for (const issue of parsed.error.issues) {
    if (errors.length >= MAX_ERRORS) break;
    collect(issue, at, errors);
  }
  const where = errors.map(({ pointer, detail }) => `${pointer || '(body)'}: ${detail}`);
  throw new Refusal('invalid_input', where.slice(0, 3).join('; '), { errors });
}

/** Refuses too many members before they are validated: a million of them would block everybody for seconds. */
function refuseCrowd(value: unknown, at: readonly string[], isLarge: IsLarge): void {
  if (typeof value !== 'object' || value === null || isLarge(at)) return;
  const isArray = Array.isArray(value);
  const names = isArray && value.length > MAX_MEMBERS ? [] : Object.keys(value);
  const count = isArray ? value.length : names.length;
  if (count > MAX_MEMBERS) {
    const what = isArray ? 'elements' : 'members';
    throw invalidAt(toPointer(at), `has ${count} ${what}, which are too many`);
  }
  if (!isArray && names.includes('__proto__')) {
    throw invalidAt(toPointer([...at, '__proto__']), 'is not known here');
  }
  for (const name of names) {
    refuseCrowd((value as Record<string, unknown>)[name], [...at, name], isLarge);
  }
}

/** Adds what an issue says to `errors`, as long as there is room. */
function collect(issue: z.core.$ZodIssue, at: readonly string[], errors: RefusalDetail[]): void {
  const path = [...at, ...issue.path.map(String)];
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys.slice(0, MAX_ERRORS - errors.length)) {
      errors.push({ pointer: toPointer([...path, key]), detail: 'is not known here' });
    }
    return;
  }
  if (issue.code === 'invalid_union') {
    // The alternative that was meant is the one whose kind of value was given.
    const isOtherKind = ({ code, path: within }: z.core.$ZodIssue) =>
      code === 'invalid_type' && within.length === 0;
    const meant = issue.errors.find((each) => !each.some(isOtherKind));
    for (const each of meant ?? []) {
      if (errors.length < MAX_ERRORS) collect(each, path, errors);
    }
    if (meant !== undefined) return;
    const kinds = issue.errors.flat().filter(isOtherKind).map(plainMessage);
    const detail = kinds.map((kind) => kind.replace(/, received .*$/, '')).join(', or ');
    errors.push({ pointer: toPointer(path), detail: detail || plainMessage(issue) });
    return;
  }
  errors.push({ pointer: toPointer(path), detail: plainMessage(issue) });
}
