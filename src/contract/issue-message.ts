/*
 * Says in our words what the schema library finds wrong. (Its own words are pieces of code: "expected number to be
 * <=5".)
 */

/** The members of an issue that are used here; zod's own type has more. */
export interface SchemaIssue {
  readonly code?: string | undefined;
  readonly message: string;
  readonly expected?: unknown;
  readonly origin?: unknown;
  readonly maximum?: unknown;
  readonly minimum?: unknown;
  readonly values?: readonly unknown[];
  readonly keys?: readonly string[];
}

const MAX_KEYS = 20;

const KINDS: Readonly<Record<string, string>> = {
  array: 'an array',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
  object: 'an object',
  record: 'an object',
  string: 'a string',
};

/** The first of what is wrong with a value, with its place below `root`. */
export function firstMessage(
  issues: readonly (SchemaIssue & { readonly path: readonly PropertyKey[] })[],
  root: readonly string[] = [],
): string {
  const [issue] = issues;
  if (issue === undefined) return 'it is wrong';
  const place = [...root, ...issue.path.map(String)].join('.');
  return place === '' ? plainMessage(issue) : `${place}: ${plainMessage(issue)}`;
}

/** What is wrong with a value, without its place. */
export function plainMessage(issue: SchemaIssue): string {
  const { code, message } = issue;
  if (code === 'unrecognized_keys') {
    return `${(issue.keys ?? []).slice(0, MAX_KEYS).join(', ')} is not known here`;
  }
  if (!isLibrarysWords(message)) return message;
  switch (code) {
    case 'invalid_type': {
      if (message.endsWith('received undefined')) return 'is missing';
      const [, received] = /, received (.+)$/.exec(message) ?? [];
      const expected = KINDS[String(issue.expected)] ?? String(issue.expected);
      return `must be ${expected}${received === undefined ? '' : `, received ${received}`}`;
    }
    case 'too_big':
      return `must ${sizeOf(issue.origin, `at most ${String(issue.maximum)}`)}`;
    case 'too_small':
      return `must ${sizeOf(issue.origin, `at least ${String(issue.minimum)}`)}`;
    case 'invalid_value':
      return `must be one of ${(issue.values ?? []).map(String).join(', ')}`;
    default:
      return message.replace(/^Invalid (?:input|option): /, '').replace(/^expected /, 'must be ');
  }
}

/** Whether the message is the library's own; a schema of ours may have given another. */
const isLibrarysWords = (message: string): boolean =>
  /^(?:Invalid|Too big|Too small|Unrecognized)/.test(message);

function sizeOf(origin: unknown, amount: string): string {
  switch (origin) {
    case 'string':
      return `have ${amount} characters`;
    case 'array':
      return `have ${amount} elements`;
    default:
      return `be ${amount}`;
  }
}
