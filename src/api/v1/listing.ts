/* What the lists of predictions and batches have in common. */
import { parseModelRef } from '../../contract/model.ts';
import type { ListFilter } from '../../temporal/record-queries.ts';
import type { Cursors } from '../http/cursor.ts';
import { Problem } from '../http/problems.ts';
import { listOf } from './lists.ts';

interface GivenFilters {
  readonly model?: string | undefined;
  readonly tag?: string | undefined;
  readonly status?: ListFilter['status'] | undefined;
  readonly created_after?: string | undefined;
  readonly created_before?: string | undefined;
}

export function recordFilterOf(query: GivenFilters, tenant: string): ListFilter {
  const { model, tag, status, created_after: after, created_before: before } = query;
  const ref = model === undefined ? undefined : parseModelRef(model);
  if (ref === null) throw new Problem('malformed_request', `query: ${model} is not a model`);
  return {
    tenant,
    ...(ref === undefined ? {} : { model: ref }),
    ...(tag === undefined ? {} : { tag }),
    ...(status === undefined ? {} : { status }),
    ...(after === undefined ? {} : { createdAfterMs: Date.parse(after) }),
    ...(before === undefined ? {} : { createdBeforeMs: Date.parse(before) }),
  };
}

interface ReadPage {
  /** Null: it is not shown. */
  readonly records: readonly ({ readonly id: string } | null)[];
  readonly nextPageToken: Uint8Array | null;
}

/** The answer with one page; `list` is what the cursor must belong to. */
export async function pageFrom(
  list: readonly unknown[],
  { cursor, cursors }: { readonly cursor: string | undefined; readonly cursors: Cursors },
  read: (token: Uint8Array | null) => Promise<ReadPage>,
) {
  const token = cursor === undefined ? null : cursors.read(list, cursor);
  const { records, nextPageToken: next } = await cursors.page(token, read);
  const seen = new Set<string>(); // a reset leaves an earlier run behind
  const data = records.filter((record) => {
    if (record === null || seen.has(record.id)) return false;
    seen.add(record.id);
    return true;
  });
  return listOf(data, next === null ? null : cursors.write(list, next));
}
