import type { z } from 'zod';
import { firstMessage } from '../../contract/issue-message.ts';
import type { Manifest } from '../../contract/model.ts';

/** The options of a manifest as a pipeline's schema has them; throws an error that says which is wrong. */
export function manifestOptions<T>(
  { options }: Pick<Manifest, 'options'>,
  schema: z.ZodType<T>,
): T {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  throw new Error(firstMessage(parsed.error.issues, ['options']));
}
