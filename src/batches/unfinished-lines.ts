import { z } from 'zod';
import type { BatchItems, ItemResult } from '../contract/batch.ts';
import type { Claim } from '../contract/payload.ts';
import { isPayloadLost, PayloadCorruptError, type PayloadStore } from '../storage/payload-store.ts';
import { readItems } from './read-items.ts';
import { storedLines } from './stored-lines.ts';

const resultSchema = z.looseObject({
  index: z.int(),
  status: z.enum(['succeeded', 'failed', 'canceled']),
}) satisfies z.ZodType<Pick<ItemResult, 'index' | 'status'>>;

/**
 * The lines of the items of a batch that have no output; all of them when there is no output at all, or it is no longer
 * what was stored. Throws `PayloadNotFoundError` and `PayloadCorruptError`.
 */
export async function* unfinishedLines(
  store: PayloadStore,
  items: BatchItems,
  output: Claim | null,
): AsyncGenerator<Uint8Array> {
  const succeeded = output === null ? null : succeededIn(store, output);
  let next = await succeeded?.next().catch(lost);
  for await (const { index, line } of readItems(store, items, { from: 0, to: items.total })) {
    while (next !== undefined && next.done !== true && next.value < index) {
      next = await succeeded?.next();
    }
    if (next?.done === false && next.value === index) continue;
    yield line;
    yield LINE_END;
  }
}

const LINE_END = Buffer.from('\n');

/** Before its first byte is read, all of the output is checked. */
function lost(error: unknown): undefined {
  if (isPayloadLost(error)) return;
  throw error;
}

/** The numbers of the items that have an output, in order. */
async function* succeededIn(store: PayloadStore, output: Claim): AsyncGenerator<number> {
  for await (const line of storedLines(store, output)) {
    const result = resultSchema.safeParse(JSON.parse(line.toString('utf8')));
    if (!result.success)
      throw new PayloadCorruptError(output.key, 'it has a line that is no result');
    if (result.data.status === 'succeeded') yield result.data.index;
  }
}
