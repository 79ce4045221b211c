/*
 * Removes predictions that have expired (the API has answered `expired` since) and payloads that belong
 * to no prediction.
 */
import { setTimeout } from 'node:timers/promises';
import { DAY_MS } from '../contract/duration.ts';
import { isPredictionId } from '../contract/ids.ts';
import { OWNED_FOLDERS, ownerOfKey, payloadKeys } from '../contract/payload.ts';
import { resultTtlMsOf } from '../contract/prediction-record.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import { memoOf } from '../temporal/prediction-memo.ts';
import type { Engine } from '../temporal/engine.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import { EngineUnavailableError } from '../temporal/timely-calls.ts';
import { forget } from './forget.ts';
import { removeOldTombstones } from './tombstones.ts';

const LONGEST_PAUSE_MS = 600_000;
const PAGE_SIZE = 100;

export interface SweepDependencies {
  readonly engine: Engine;
  readonly predictions: PredictionEngine;
  readonly store: PayloadStore;
  /** Nothing that has ended later is looked at. */
  readonly resultTtlMs: number;
  readonly logger: Logger;
}

/**
 * Sweeps now and then until `stop` aborts; the promise resolves when the last sweep has ended. Any
 * number of processes may do it: what is gone already is no error.
 */
export async function sweepUntil(
  stop: AbortSignal,
  dependencies: SweepDependencies,
): Promise<void> {
  const { resultTtlMs, store, logger } = dependencies;
  const attempt = async (what: string, work: () => Promise<unknown>) =>
    await work().catch((error: unknown) => {
      logger.warn({ err: error }, `the sweep of ${what} broke off; it is tried again`);
    });
  let dailyAtMs = 0;
  let suspects: ReadonlySet<string> = new Set();
  while (!stop.aborted) {
    await attempt('expired predictions', async () => await sweepExpired(stop, dependencies));
    if (Date.now() - dailyAtMs > DAY_MS) {
      dailyAtMs = Date.now();
      await attempt('tombstones', async () => await removeOldTombstones(store, logger));
      await attempt('payloads', async () => {
        suspects = await sweepOrphans(suspects, stop, dependencies);
      });
    }
    await pause(Math.min(LONGEST_PAUSE_MS, resultTtlMs), stop);
  }
}

async function sweepExpired(stop: AbortSignal, dependencies: SweepDependencies): Promise<void> {
  const { predictions, resultTtlMs, logger } = dependencies;
  const filter = { endedBeforeMs: Date.now() - resultTtlMs };
  let removed = 0;
  let token: Uint8Array | null = null;
  do {
    const page: Awaited<ReturnType<PredictionEngine['list']>> = await predictions.list(filter, {
      pageSize: PAGE_SIZE,
      token,
    });
    for (const { id } of page.rows) {
      if (stop.aborted) return;
      try {
        if (await removeExpired(id, dependencies)) removed += 1;
      } catch (error) {
        if (error instanceof EngineUnavailableError) throw error;
        logger.warn({ err: error, prediction: id }, 'it has expired, and cannot be removed');
      }
    }
    token = page.nextPageToken;
  } while (token !== null);
  if (removed > 0) logger.info({ removed }, 'expired predictions were removed');
}

/** A reset leaves earlier runs behind: only the latest says whether it has ended, and when. */
async function removeExpired(id: string, dependencies: SweepDependencies): Promise<boolean> {
  const latest = await dependencies.engine.find(id);
  const memo = latest && memoOf(latest);
  const closedAtMs = latest?.closeTime?.getTime();
  if (!memo || memo.ended === null || closedAtMs === undefined) return false;
  const { accepted, ended } = memo;
  if (closedAtMs + resultTtlMsOf(accepted) > Date.now()) return false;
  await forget({ type: 'prediction', accepted, ended }, 'expired', dependencies);
  return true;
}

/**
 * Removes payloads that belonged to no prediction a day ago and still do not: a process died between an
 * upload and its start. Returns the ids that are seen without a prediction for the first time.
 */
async function sweepOrphans(
  suspects: ReadonlySet<string>,
  stop: AbortSignal,
  dependencies: SweepDependencies,
): Promise<ReadonlySet<string>> {
  const { engine, store, logger } = dependencies;
  const seen = new Set<string>();
  const orphans = new Set<string>();
  for await (const key of ownedKeys(store)) {
    if (stop.aborted) break;
    const owner = ownerOfKey(key);
    if (owner === null || !isPredictionId(owner.id)) continue; // a stranger may have put something there
    const { id } = owner;
    if (seen.has(id)) continue;
    seen.add(id);
    if ((await engine.find(id)) !== null) continue;
    if (suspects.has(id)) {
      await store.delete(payloadKeys.owned(owner));
      logger.info({ prediction: id }, 'payloads of no prediction were removed');
    } else orphans.add(id);
  }
  return orphans;
}

async function* ownedKeys(store: PayloadStore): AsyncGenerator<string> {
  for (const folder of OWNED_FOLDERS) yield* store.list(folder);
}

/** Over at once when `stop` aborts. */
async function pause(ms: number, stop: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, { signal: stop }).catch(() => {});
}
