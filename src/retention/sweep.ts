/* Predictions whose time has come are removed; the API has been answering `expired` all the while. */
import { DAY_MS } from '../contract/duration.ts';
import { MEMO_ENDED, PREDICTION_WORKFLOW } from '../contract/messages.ts';
import type { Ended } from '../contract/prediction.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { ListedExecution, PredictionEngine } from '../temporal/prediction-engine.ts';
import { WorkflowMissingError } from '../temporal/timely-calls.ts';
import { forgetPrediction } from './forget.ts';
import { removeOldTombstones } from './tombstones.ts';

const LONGEST_PAUSE_MS = 600_000;
const TOMBSTONES_EVERY_MS = DAY_MS;
const PAGE_SIZE = 100;

export interface SweepDependencies {
  readonly engine: PredictionEngine;
  readonly store: PayloadStore;
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
  let tombstonesAtMs = 0;
  while (!stop.aborted) {
    try {
      const removed = await sweep(stop, dependencies);
      if (removed > 0) logger.info({ removed }, 'expired predictions were removed');
      if (Date.now() - tombstonesAtMs > TOMBSTONES_EVERY_MS) {
        await removeOldTombstones(store);
        tombstonesAtMs = Date.now();
      }
    } catch (error) {
      logger.warn({ err: error }, 'the sweep broke off; the next one goes on');
    }
    await pause(Math.min(LONGEST_PAUSE_MS, resultTtlMs), stop);
  }
}

/** How many were removed. */
async function sweep(stop: AbortSignal, dependencies: SweepDependencies): Promise<number> {
  const { engine, resultTtlMs } = dependencies;
  const before = new Date(Date.now() - resultTtlMs).toISOString();
  const query = `WorkflowType = '${PREDICTION_WORKFLOW}' AND ExecutionStatus != 'Running' AND CloseTime < '${before}'`;
  let removed = 0;
  let token: Uint8Array | null = null;
  do {
    const page = await engine.list(query, PAGE_SIZE, token);
    for (const execution of page.executions) {
      if (stop.aborted) return removed;
      if (await removeExpired(execution, dependencies)) removed += 1;
    }
    token = page.nextPageToken;
  } while (token !== null);
  return removed;
}

/** A reset leaves earlier runs behind: only the latest says whether it has ended, and when. */
async function removeExpired(
  { id, accepted }: ListedExecution,
  dependencies: SweepDependencies,
): Promise<boolean> {
  const { engine, resultTtlMs } = dependencies;
  const latest = await engine.describe(id).catch((error: unknown) => {
    if (error instanceof WorkflowMissingError) return null; // it is on its way out
    throw error;
  });
  const { closeTime } = latest ?? {};
  if (latest === null || closeTime === undefined) return false;
  if (closeTime.getTime() > Date.now() - resultTtlMs) return false;
  const ended = (latest.memo?.[MEMO_ENDED] ?? null) as Ended | null;
  await forgetPrediction({ accepted, ended }, 'expired', dependencies);
  return true;
}

async function pause(ms: number, stop: AbortSignal): Promise<void> {
  if (stop.aborted) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      stop.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    stop.addEventListener('abort', done, { once: true });
  });
}
