/* What lies in the store for a batch: lists of its chunks, and its output, put together of their results. */
import { parseItem } from '../batches/item-index.ts';
import { readItems } from '../batches/read-items.ts';
import { LINES_MEDIA_TYPE, resultLine } from '../batches/results.ts';
import { openAiLines } from '../batches/openai-results.ts';
import { type BatchItems, itemError, type ItemRange } from '../contract/batch.ts';
import type {
  AssembleRequest,
  AssembleResult,
  DoneChunk,
  KeepChunksRequest,
  ResultFilesRequest,
} from '../contract/batch-messages.ts';
import type { Files } from '../files/files.ts';
import { type Claim, JSON_MEDIA_TYPE, type Owner, payloadKeys } from '../contract/payload.ts';
import { openClaim, readClaim } from '../storage/claims.ts';
import { isPayloadLost, type PayloadStore } from '../storage/payload-store.ts';
import { heartbeating } from './heartbeating.ts';

export interface BatchFileDependencies {
  readonly store: PayloadStore;
  readonly files: Files;
  readonly fileTtlMs: number;
}

export type BatchFileActivities = ReturnType<typeof createBatchFileActivities>;

export const createBatchFileActivities = ({ store, files, fileTtlMs }: BatchFileDependencies) => ({
  /** Stores a list of chunks, so that the next run of the workflow need not carry it. */
  async keepChunks(request: KeepChunksRequest): Promise<Claim> {
    return await working(async (runId, attempt) => {
      const key = payloadKeys.chunkPart(request, `${runId}.${attempt}`, 'list');
      const body = Buffer.from(JSON.stringify(request.chunks));
      return await store.put(key, body, { mediaType: JSON_MEDIA_TYPE });
    });
  },

  /** Puts the results together in the order of the items. */
  async assemble(request: AssembleRequest): Promise<AssembleResult> {
    return await working(async (runId, attempt) => {
      const chunks = await allChunks(request, store);
      const lost = { succeeded: 0, failed: 0 };
      if (chunks.length === 0) return { output: null, lost };
      const key = payloadKeys.output(request, runId, attempt);
      const body = assembled(request, chunks, store, lost);
      return { output: await store.put(key, body, { mediaType: LINES_MEDIA_TYPE }), lost };
    });
  },

  /** Writes the results as files of the tenant, in OpenAI's dialect. */
  async writeResultFiles(request: ResultFilesRequest): Promise<void> {
    const { id: batchId, tenant, model, created_at: createdAt, output } = request;
    await working(async () => {
      for (const which of ['output', 'errors'] as const) {
        const id = request.files[which];
        if (id === null) continue;
        const { endpoint } = request.openai;
        const lines = openAiLines(store, output, which, { batchId, model, createdAt, endpoint });
        const file = {
          id,
          tenant,
          filename: `${batchId}_${which}.jsonl`,
          purpose: 'batch_output',
          media_type: LINES_MEDIA_TYPE,
          expires_at: new Date(Date.now() + fileTtlMs).toISOString(),
        };
        await files.create(file, lines, { maxBytes: Number.POSITIVE_INFINITY, sha256: null });
      }
    });
  },

  /** Removes the results of chunks, which are in the output. */
  async dropChunks(owner: Owner): Promise<void> {
    await working(async () => await store.delete(payloadKeys.chunks(owner)));
  },
});

async function working<T>(work: (runId: string, attempt: number) => Promise<T>): Promise<T> {
  return await heartbeating(
    () => undefined,
    async ({ info: { attempt, workflowExecution } }) =>
      await work(workflowExecution?.runId ?? 'none', attempt),
  );
}

/** In the order of the items. */
async function allChunks(
  { kept, chunks }: AssembleRequest,
  store: PayloadStore,
): Promise<readonly DoneChunk[]> {
  const all = [...chunks];
  for (const claim of kept) {
    all.push(...(JSON.parse((await readClaim(store, claim)).toString('utf8')) as DoneChunk[]));
  }
  return all.sort((a, b) => a.from - b.from);
}

async function* assembled(
  request: AssembleRequest,
  chunks: readonly DoneChunk[],
  store: PayloadStore,
  lost: { succeeded: number; failed: number },
): AsyncGenerator<Uint8Array> {
  const { items, rest } = request;
  let at = 0;
  for (const { from, to, parts, counts } of chunks) {
    yield* undone(items, { from: at, to: from }, rest, store);
    at = to;
    const bodies = await opened(parts, store);
    if (bodies !== null) {
      for (const body of bodies) yield* body;
      continue;
    }
    lost.succeeded += counts.succeeded;
    lost.failed += counts.failed;
    yield* undone(items, { from, to }, { status: 'failed', error: LOST }, store);
  }
  yield* undone(items, { from: at, to: items.total }, rest, store);
}

const LOST = itemError(
  'payload_missing',
  'its result is no longer in the payload store, or not what was stored: retry the batch',
);

/** All results of a chunk; null: not all of them are what was stored. */
async function opened(
  parts: readonly Claim[],
  store: PayloadStore,
): Promise<readonly AsyncIterable<Uint8Array>[] | null> {
  try {
    const bodies: AsyncIterable<Uint8Array>[] = [];
    for (const part of parts) bodies.push(await openClaim(store, part));
    return bodies;
  } catch (error) {
    if (isPayloadLost(error)) return null;
    throw error;
  }
}

/** The lines of items that have no result. */
async function* undone(
  items: BatchItems,
  { from, to }: ItemRange,
  rest: AssembleRequest['rest'],
  store: PayloadStore,
): AsyncGenerator<Uint8Array> {
  if (rest === null || from >= to) return;
  const outcome =
    rest.error === null
      ? ({ status: 'canceled' } as const)
      : ({ status: 'failed', error: rest.error } as const);
  for await (const { index, line } of readItems(store, items, { from, to })) {
    yield resultLine({ custom_id: parseItem(line).custom_id, index }, outcome);
  }
}
