/* Removes predictions and batches that have expired; the API has answered `expired` since. */
import { resultTtlMsOf } from '../contract/prediction-record.ts';
import type { Finished } from '../contract/webhook.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { BatchEngine } from '../temporal/batch-engine.ts';
import { batchMemoOf } from '../temporal/batch-memo.ts';
import type { Engine } from '../temporal/engine.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import { memoOf } from '../temporal/prediction-memo.ts';
import type { RecordKind } from '../temporal/record-queries.ts';
import { EngineUnavailableError } from '../temporal/timely-calls.ts';
import { forget } from './forget.ts';

const PAGE_SIZE = 100;

export interface SweepDependencies {
  readonly engine: Engine;
  readonly predictions: PredictionEngine;
  readonly batches: BatchEngine;
  readonly store: PayloadStore;
  /** Nothing that has ended later is looked at. */
  readonly resultTtlMs: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Logger;
}

/** How far a sweep has come: it goes on there when it is interrupted. */
export interface ExpiryCursor {
  readonly kind: RecordKind;
  /** Temporal's token for the next page, in base64; null: the first page. */
  readonly token: string | null;
  readonly removed: number;
}

export const FIRST_EXPIRY: ExpiryCursor = { kind: 'prediction', token: null, removed: 0 };

/** Yields after each page; the last one says how many were removed in all. Throws when the engine or store is away. */
export async function* sweepExpired(
  from: ExpiryCursor,
  dependencies: SweepDependencies,
): AsyncGenerator<ExpiryCursor> {
  let cursor: ExpiryCursor | null = from;
  while (cursor !== null) {
    const { next, removed }: Swept = await sweepPage(cursor, dependencies);
    yield { ...(next ?? cursor), removed };
    cursor = next;
  }
}

interface Swept {
  readonly next: ExpiryCursor | null;
  readonly removed: number;
}

async function sweepPage(cursor: ExpiryCursor, dependencies: SweepDependencies): Promise<Swept> {
  const { resultTtlMs, now, logger } = dependencies;
  const { kind } = cursor;
  const filter = { endedBeforeMs: now() - resultTtlMs };
  const token = cursor.token === null ? null : Buffer.from(cursor.token, 'base64');
  const engine = kind === 'batch' ? dependencies.batches : dependencies.predictions;
  const page = await engine.list(filter, { pageSize: PAGE_SIZE, token });
  let { removed } = cursor;
  for (const { id } of page.rows) {
    try {
      if (await removeExpired(id, kind, dependencies)) removed += 1;
    } catch (error) {
      if (error instanceof EngineUnavailableError) throw error;
      logger.warn({ err: error, id }, 'it has expired, and cannot be removed');
    }
  }
  const { nextPageToken } = page;
  if (nextPageToken !== null) {
    return {
      next: { kind, token: Buffer.from(nextPageToken).toString('base64'), removed },
      removed,
    };
  }
  const other = kind === 'prediction' ? ({ kind: 'batch', token: null, removed } as const) : null;
  return { next: other, removed };
}

/** A reset leaves earlier runs behind: only the latest says whether it has ended, and when. */
async function removeExpired(
  id: string,
  kind: RecordKind,
  dependencies: SweepDependencies,
): Promise<boolean> {
  const latest = await dependencies.engine.find(id);
  const closedAtMs = latest?.closeTime?.getTime();
  if (latest === null || closedAtMs === undefined) return false;
  const finished = finishedIn(latest, kind);
  if (finished === null) return false;
  if (closedAtMs + resultTtlMsOf(finished.accepted) > dependencies.now()) return false;
  await forget(finished, 'expired', dependencies);
  return true;
}

/** Null: it has not ended, or is none of ours. */
export function finishedIn(
  description: Parameters<typeof memoOf>[0],
  kind: RecordKind,
): Finished | null {
  if (kind === 'batch') {
    const { accepted, ended } = batchMemoOf(description) ?? NOTHING;
    return accepted === null || ended === null ? null : { type: 'batch', accepted, ended };
  }
  const { accepted, ended } = memoOf(description) ?? NOTHING;
  return accepted === null || ended === null ? null : { type: 'prediction', accepted, ended };
}

const NOTHING = { accepted: null, ended: null } as const;
