/*
 * The inferChunk activity: runs items of a batch one after the other until its time is over, and says how far it came.
 *
 *  C1  It ends by time, whatever the speed of its model: so the workflow need not know speeds, and others get turns.
 *  C2  While some items run, the next ones are ready: the device never waits for us. There are never more.
 *  C3  What is done lies in the store, and the heartbeat says so: the next attempt goes on behind it.
 *  C4  A chunk that did anything succeeds, also when it is canceled or its worker stops: it just ends early.
 */
import { Context } from '@temporalio/activity';
import { readItems } from '../batches/read-items.ts';
import type {
  ChunkSoFar,
  FetchedItems,
  InferChunkRequest,
  InferChunkResult,
} from '../contract/batch-messages.ts';
import { type ModelRef, modelRefOf } from '../contract/model.ts';
import { type Claim, payloadKeys } from '../contract/payload.ts';
import type { Files } from '../files/files.ts';
import { type ModelRuntime, notServed } from '../runtime/runtime.ts';
import { readClaim } from '../storage/claims.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import { type ChunkItem, chunkItem, type InputLimits, type ItemInputs } from './chunk-input.ts';
import { ChunkResults } from './chunk-results.ts';
import { type RunResult, runItems, type RunTerms } from './chunk-runs.ts';
import { heartbeating } from './heartbeating.ts';
import type { InFlightAttempts } from './inference.ts';
import { ReadInputs } from './media-input.ts';

/** After so long no more items are begun (C1). */
const CHUNK_MS = 2000;
/** The lines of items that run together. */
const MAX_BYTES_TOGETHER = 8 * 1024 ** 2;
/** So many full batches are handed over together: among more items, more of them fit together. */
const MAX_BATCHES_TOGETHER = 8;
/** Items that are done faster than this are handed over in larger numbers, slower ones in smaller. */
const TOGETHER_MS = { least: 100, most: 400 };

export interface ChunkDependencies {
  readonly runtime: ModelRuntime;
  readonly store: PayloadStore;
  readonly files: Files;
  readonly inFlight: InFlightAttempts;
  readonly limits: InputLimits;
  /** Where large inputs lie while they are needed, when the store is far away. */
  readonly spoolFolder: string;
  /** Told of items that are done. */
  readonly onItems: (model: ModelRef, outcome: 'succeeded' | 'failed', count: number) => void;
}

export type ChunkActivities = ReturnType<typeof createChunkActivities>;

export const createChunkActivities = (dependencies: ChunkDependencies) => ({
  async inferChunk(request: InferChunkRequest): Promise<InferChunkResult> {
    const context = Context.current();
    const { info } = context;
    const waitedMs = Math.max(0, Date.now() - info.currentAttemptScheduledTimestampMs);
    const beganAt = new Date().toISOString();
    const leave = await dependencies.inFlight.enter(info.taskToken, request.id);
    const before = (info.heartbeatDetails as ChunkSoFar | undefined) ?? nothingDone(request);
    let told = before;
    const runId = info.workflowExecution?.runId ?? 'none';
    const results = new ChunkResults(before, {
      store: dependencies.store,
      partKey: (count) =>
        payloadKeys.chunkPart(request, runId, `${request.range.from}.${info.attempt}.${count}`),
      onStored(done) {
        told = done;
        context.heartbeat(done); // C3
      },
    });
    const work = async () => {
      const stoppedBy = await runChunk(request, results, dependencies).catch(
        (error: unknown) => error,
      );
      await results.store();
      const { stored } = results;
      if (stoppedBy !== null && stored.to === request.range.from) throw stoppedBy; // C4
      count(request, before, stored, dependencies);
      return { ...stored, began_at: beganAt, waited_ms: waitedMs };
    };
    return await heartbeating(() => told, work).finally(leave);
  },
});

const nothingDone = ({ range }: InferChunkRequest): ChunkSoFar => ({
  to: range.from,
  parts: [],
  counts: { succeeded: 0, failed: 0 },
});

function count(
  request: InferChunkRequest,
  { counts: before }: ChunkSoFar,
  { counts }: ChunkSoFar,
  { onItems }: ChunkDependencies,
): void {
  for (const outcome of ['succeeded', 'failed'] as const) {
    onItems(modelRefOf(request), outcome, counts[outcome] - before[outcome]);
  }
}

/** Returns why it ended before its time and before its range did; null: it did not. */
async function runChunk(
  request: InferChunkRequest,
  results: ChunkResults,
  { runtime, spoolFolder, ...made }: ChunkDependencies,
): Promise<unknown> {
  const model = modelRefOf(request);
  const version = runtime.factsOf(model)?.version;
  if (version === undefined) throw notServed(model);
  const { tenant, options, runTimeoutMs, range, items } = request;
  const { cancellationSignal: signal } = Context.current();
  const terms: RunTerms = { model, runTimeoutMs, signal };
  const lines = readItems(made.store, items, { ...range, from: results.to });
  const fetched = await fetchedItems(request.fetched, made.store);
  const reading = new Reading(lines, {
    ...made,
    tenant,
    batch: request.id,
    options,
    version,
    fetched,
  });
  const startedAtMs = Date.now();
  const running: Running[] = [];
  /** What was read for items that run, or are about to. */
  const held = new Set<ReadInputs>();
  let isOver = false;
  try {
    for (;;) {
      const isLate = Date.now() - startedAtMs >= CHUNK_MS && running.length > 0; // C1: at least some are done
      isOver ||= isLate || signal.aborted;
      if (!isOver) {
        const reads = new ReadInputs(made.store, spoolFolder);
        held.add(reads);
        const items = await reading.next(reads);
        isOver = items.length === 0;
        if (!isOver) running.push(begun(items, reads, terms, runtime));
      }
      if (!isOver && running.length < 2) continue; // C2
      const first = running.shift();
      if (first === undefined) return signal.aborted ? signal.reason : null;
      const stoppedBy = await settle(first, results, reading);
      held.delete(first.reads);
      if (stoppedBy !== null) return stoppedBy;
    }
  } finally {
    // Nothing runs any more when the chunk ends.
    await Promise.all(running.map(async ({ result }) => await result));
    for (const reads of held) await reads.release();
  }
}

async function fetchedItems(claim: Claim | null, store: PayloadStore): Promise<FetchedItems> {
  if (claim === null) return {};
  return JSON.parse((await readClaim(store, claim)).toString('utf8')) as FetchedItems;
}

interface Running {
  readonly items: readonly ChunkItem[];
  /** What was read for them. */
  readonly reads: ReadInputs;
  readonly sinceMs: number;
  readonly result: Promise<RunResult>;
}

const begun = (
  items: readonly ChunkItem[],
  reads: ReadInputs,
  terms: RunTerms,
  runtime: ModelRuntime,
): Running => ({ items, reads, sinceMs: Date.now(), result: runItems(items, terms, runtime) });

async function settle(
  { items, reads, sinceMs, result }: Running,
  results: ChunkResults,
  reading: Reading,
): Promise<unknown> {
  const { outcomes, stoppedBy } = await result;
  await reads.release();
  reading.adjust(Date.now() - sinceMs);
  for (const [at, outcome] of outcomes.entries()) {
    const item = items[at];
    if (item !== undefined) results.add(item, outcome);
  }
  await results.storeSoon();
  return stoppedBy;
}

/** Hands out the items, as many at a time as their speed allows. */
class Reading {
  readonly #lines: ReturnType<typeof readItems>;
  readonly #inputs: Omit<ItemInputs, 'reads'>;
  readonly #least: number;
  #together: number;

  constructor(lines: ReturnType<typeof readItems>, inputs: Omit<ItemInputs, 'reads'>) {
    this.#lines = lines;
    this.#inputs = inputs;
    this.#least = inputs.version.manifest.batching.max_size;
    this.#together = this.#least;
  }

  /** Empty: there are no more. */
  async next(reads: ReadInputs): Promise<readonly ChunkItem[]> {
    const items: ChunkItem[] = [];
    let bytes = 0;
    while (items.length < this.#together && bytes < MAX_BYTES_TOGETHER) {
      const { value, done } = await this.#lines.next();
      if (done === true) break;
      const item = await chunkItem(value.line, value.index, { ...this.#inputs, reads });
      bytes += item.bytes;
      items.push(item);
    }
    return items;
  }

  /** The latest took so long. */
  adjust(ms: number): void {
    const most = this.#least * MAX_BATCHES_TOGETHER;
    if (ms < TOGETHER_MS.least) this.#together = Math.min(most, 2 * this.#together);
    if (ms > TOGETHER_MS.most) this.#together = Math.max(this.#least, this.#together >> 1);
  }
}
