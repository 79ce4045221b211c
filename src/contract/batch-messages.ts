/* What the API, the workflow of a batch and its activities tell each other. */
import { defineQuery } from '@temporalio/workflow';
import type {
  AcceptedBatch,
  BatchItems,
  BatchProgress,
  EndedBatch,
  ItemCounts,
  ItemError,
  ItemRange,
  OpenAiBatch,
  ResultFiles,
} from './batch.ts';
import type { Claim, Json, Owner } from './payload.ts';

/** The workflow's type name, for clients that cannot import workflow code. */
export const BATCH_WORKFLOW = 'batchWorkflow';

/** The memo's key for how far a batch has come; absent until its first chunk has begun. */
export const MEMO_PROGRESS = 'progress';

/** The argument of the workflow. */
export interface BatchRequest {
  readonly accepted: AcceptedBatch;
  /** How long a lost worker goes unnoticed. */
  readonly heartbeatTimeoutMs: number;
  /** What earlier runs of the workflow have done; null: this is the first. */
  readonly earlier: EarlierRuns | null;
}

/** What one run of the workflow leaves to the next, so that no history grows without end. */
export interface EarlierRuns {
  readonly progress: BatchProgress;
  /** What is not done. */
  readonly left: readonly ItemRange[];
  /** Lists of chunks that are done (`DoneChunk[]` as JSON), in the store. */
  readonly kept: readonly Claim[];
  /** How many chunks may be under way at once. */
  readonly width: number;
  readonly fetched: Claim | null;
}

/** What was fetched for the items that give media by URL: by the number of the item and the name of the field. */
export type FetchedItems = Readonly<Record<number, Readonly<Record<string, Claim | ItemError>>>>;

/** The argument of the fetchItems activity, which answers with the claim on `FetchedItems`. */
export interface FetchItemsRequest extends Owner {
  readonly items: BatchItems;
}

/** Items that are done, with their results. */
export interface DoneChunk extends ItemRange {
  /** Their results as JSON Lines, in pieces that follow each other. */
  readonly parts: readonly Claim[];
  readonly counts: ItemCounts;
}

/** The argument of the inferChunk activity. */
export interface InferChunkRequest extends Owner {
  readonly model: string;
  readonly version: number;
  readonly options: Readonly<Record<string, Json>>;
  readonly items: BatchItems;
  readonly range: ItemRange;
  /** What was fetched for the items (`FetchedItems` as JSON); null: nothing had to be. */
  readonly fetched: Claim | null;
  /** Of each run, from the moment at which its input is handed to the model process. */
  readonly runTimeoutMs: number;
}

/** What an attempt at a chunk has done; its heartbeat details, so that the next attempt goes on behind it. */
export interface ChunkSoFar {
  readonly to: number;
  readonly parts: readonly Claim[];
  readonly counts: ItemCounts;
}

/** The result of the inferChunk activity: it stops at `to`, which may lie before the end of its range. */
export interface InferChunkResult extends ChunkSoFar {
  /** When its attempt began, RFC 3339. */
  readonly began_at: string;
  /** How long it waited for a worker. */
  readonly waited_ms: number;
}

/** The argument of the keepChunks activity, which answers with the claim on the list. */
export interface KeepChunksRequest extends Owner {
  readonly chunks: readonly DoneChunk[];
}

/** The result of the assemble activity. */
export interface AssembleResult {
  /** Null: nothing is done. */
  readonly output: Claim | null;
  /** Items that were done, and whose results were no longer what was stored: the output says that they failed. */
  readonly lost: ItemCounts;
}

/** The argument of the assemble activity. */
export interface AssembleRequest extends Owner {
  readonly items: BatchItems;
  readonly kept: readonly Claim[];
  readonly chunks: readonly DoneChunk[];
  /** What the output says of items that are not done; null: nothing, they are left out. */
  readonly rest: {
    readonly status: 'canceled' | 'failed';
    readonly error: ItemError | null;
  } | null;
}

/** The argument of the writeResultFiles activity, which writes the files that have an id. */
export interface ResultFilesRequest extends Owner {
  readonly model: string;
  readonly created_at: string;
  readonly openai: OpenAiBatch;
  readonly output: Claim;
  readonly files: ResultFiles;
}

/** A query for the Web UI and the CLI. The API reads the memo instead. */
export interface BatchView {
  readonly id: string;
  readonly model: string;
  readonly progress: BatchProgress | null;
  readonly ended: EndedBatch | null;
}

export const batchQuery = defineQuery<BatchView>('batch');
