/* What all commands do: run from their arguments to their exit status. */
import { messageOf } from '../contract/failure.ts';

/** Something is wrong with what was typed. */
export class UsageError extends Error {}

/**
 * Runs a command on the arguments of the process. An error of one of the `expected` classes is one line for the
 * person who typed it, and wrong usage shows `usage` too; any other error is shown whole. Both end with status 1.
 */
export async function runCommand(
  main: (args: readonly string[]) => Promise<void>,
  usage: string,
  expected: readonly (new (message: string) => Error)[],
): Promise<void> {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    const isUsage = error instanceof UsageError || isParseArgsError(error);
    const isExpected = isUsage || expected.some((each) => error instanceof each);
    console.error(isExpected ? messageOf(error) : error);
    if (isUsage) console.error(`\n${usage}`);
    process.exit(1);
  }
}

function isParseArgsError(error: unknown): boolean {
  return String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS');
}
