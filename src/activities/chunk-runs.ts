/*
 * Runs the items of a chunk, some at a time. What may be the fault of another item that ran with it is run alone; an
 * item whose model process dies again and again, although it runs alone, is the cause of that.
 */
import { createHash } from 'node:crypto';
import { POISON_DEATHS } from '../contract/failure.ts';
import { type ItemError, itemError } from '../contract/batch.ts';
import type { ModelRef } from '../contract/model.ts';
import { withImageFacts } from '../contract/output-images.ts';
import type { Json } from '../contract/payload.ts';
import type { ItemOutcome } from '../batches/results.ts';
import {
  type Inference,
  InferenceStoppedError,
  ModelCrashedError,
  type ManyRequest,
  type ModelRuntime,
  ModelUnavailableError,
} from '../runtime/runtime.ts';
import type { ChunkItem } from './chunk-input.ts';
import { itemErrorOf, wasShared } from './failures.ts';

export type RunTerms = Pick<ManyRequest, 'runTimeoutMs' | 'signal'> & {
  readonly model: ModelRef;
};

/** What became of some items: as far as the first that could not be run for a reason that is none of its own. */
export interface RunResult {
  readonly outcomes: readonly ItemOutcome[];
  /** Why the rest has no outcome; null: there is no rest. */
  readonly stoppedBy: unknown;
}

/** Never rejects. */
export async function runItems(
  items: readonly ChunkItem[],
  terms: RunTerms,
  runtime: ModelRuntime,
): Promise<RunResult> {
  const outcomes: ItemOutcome[] = [];
  try {
    const settled = await runTogether(items, terms, runtime);
    for (const [at, item] of items.entries()) {
      const result = settled[at];
      if (result === undefined) break;
      outcomes.push(await outcomeOf(item, result, terms, runtime));
    }
    return { outcomes, stoppedBy: null };
  } catch (error) {
    return { outcomes, stoppedBy: error };
  }
}

type Settled = PromiseSettledResult<Inference>;

/** One for each item; null for those that cannot be run. */
async function runTogether(
  items: readonly ChunkItem[],
  { model, ...same }: RunTerms,
  runtime: ModelRuntime,
): Promise<readonly (Settled | null)[]> {
  const runnable = items.flatMap(({ run }) => (isRefused(run) ? [] : [run]));
  const settled = await runtime.inferMany(model, { items: runnable, isAlone: false, ...same });
  const next = settled.values();
  return items.map(({ run }) => (isRefused(run) ? null : (next.next().value as Settled)));
}

async function outcomeOf(
  { run }: ChunkItem,
  first: Settled | null,
  { model, ...same }: RunTerms,
  runtime: ModelRuntime,
): Promise<ItemOutcome> {
  if (isRefused(run)) return { status: 'failed', error: run };
  let settled = first ?? undefined;
  let deaths = 0;
  for (;;) {
    if (settled?.status === 'fulfilled') {
      const { mediaType, tokens } = settled.value;
      return { status: 'succeeded', output: outputOf(settled.value), mediaType, tokens };
    }
    const error: unknown = settled?.reason;
    same.signal.throwIfAborted();
    if (isOfTheChunk(error)) throw error;
    const hasDied = error instanceof ModelCrashedError && !error.isShared;
    if (hasDied) deaths += 1;
    if (hasDied && deaths >= POISON_DEATHS) {
      const message = `${error.message}, as ${deaths - 1} others did of this input; it is not tried again`;
      return { status: 'failed', error: itemError('poison_input', message) };
    }
    if (!hasDied && !wasShared(error)) return { status: 'failed', error: itemErrorOf(error) };
    [settled] = await runtime.inferMany(model, { items: [run], isAlone: true, ...same });
  }
}

/** The output with its images in it, because the result of an item is one line. */
function outputOf({ output, files }: Inference): Uint8Array {
  if (files.length === 0) return output;
  const facts = files.map(({ bytes, mediaType }) => ({
    url: `data:${mediaType};base64,${Buffer.from(bytes).toString('base64')}`,
    bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    media_type: mediaType,
  }));
  const json = JSON.parse(Buffer.from(output).toString('utf8')) as Json;
  return Buffer.from(JSON.stringify(withImageFacts(json, facts)));
}

/** Whether an item cannot be run, and why. */
const isRefused = (run: ChunkItem['run']): run is ItemError => 'code' in run;

/** Errors that no item has caused: the chunk is tried again. */
const isOfTheChunk = (error: unknown): boolean =>
  error instanceof ModelUnavailableError || error instanceof InferenceStoppedError;
