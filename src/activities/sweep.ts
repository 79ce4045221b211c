/* The sweep as activities: each says in its heartbeat how far it has come, and goes on there. */
import { Context } from '@temporalio/activity';
import { DAY_MS } from '../contract/duration.ts';
import { JSON_MEDIA_TYPE, payloadKeys } from '../contract/payload.ts';
import {
  type ExpiryCursor,
  FIRST_EXPIRY,
  sweepExpired,
  type SweepDependencies,
} from '../retention/sweep-expired.ts';
import { FIRST_STORE, type StoreCursor, sweepStore } from '../retention/sweep-store.ts';
import { readSmall } from '../storage/claims.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import { heartbeating } from './heartbeating.ts';

/** How often the whole store is looked at. */
const STORE_EVERY_MS = DAY_MS;

export type SweepActivities = ReturnType<typeof createSweepActivities>;

export const createSweepActivities = (dependencies: SweepDependencies) => ({
  /** Returns how many predictions and batches were removed. */
  async sweepExpired(): Promise<number> {
    const last = await following<ExpiryCursor>(FIRST_EXPIRY, (from) =>
      sweepExpired(from, dependencies),
    );
    return last.removed;
  },

  /** Returns how many payloads were removed; null: it was done within the last day. */
  async sweepStore(): Promise<number | null> {
    const { store, now } = dependencies;
    if (now() - (await lastSweepMs(store, now())) < STORE_EVERY_MS) return null;
    const last = await following<StoreCursor>(FIRST_STORE, (from) =>
      sweepStore(from, dependencies),
    );
    const body = Buffer.from(JSON.stringify({ at: new Date(now()).toISOString() }));
    await store.put(payloadKeys.sweep, body, { mediaType: JSON_MEDIA_TYPE });
    return last.removed;
  },
});

/** Runs a sweep to its end, from where its last attempt came to. */
async function following<Cursor>(
  first: Cursor,
  sweep: (from: Cursor) => AsyncIterable<Cursor>,
): Promise<Cursor> {
  const context = Context.current();
  let cursor = (context.info.heartbeatDetails as Cursor | undefined) ?? first;
  return await heartbeating(
    () => cursor,
    async () => {
      for await (cursor of sweep(cursor)) {
        context.heartbeat(cursor);
        context.cancellationSignal.throwIfAborted();
      }
      return cursor;
    },
  );
}

/** When the store was last looked at as a whole; long ago when nobody can tell. */
async function lastSweepMs(store: PayloadStore, nowMs: number): Promise<number> {
  const read = async () => (await readSmall(store, payloadKeys.sweep)).toString('utf8');
  const text = await read().catch(() => '{}');
  try {
    const { at } = JSON.parse(text) as { at?: string };
    const atMs = Date.parse(at ?? '') || 0;
    return atMs <= nowMs ? atMs : 0;
  } catch {
    return 0;
  }
}
