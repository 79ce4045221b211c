/* What every list looks like. */
import { writeCursor } from './cursor.ts';

/** A page; `next` leads to the one after it. */
export const listOf = (data: readonly unknown[], next: Uint8Array | null = null) => ({
  object: 'list',
  data,
  has_more: next !== null,
  next_cursor: next === null ? null : writeCursor(next),
});
