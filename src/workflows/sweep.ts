/* Removes what has expired and what nobody needs any more. A schedule starts it, one at a time. */
import { proxyActivities, setCurrentDetails, sleep } from '@temporalio/workflow';
import type { SweepActivities } from '../activities/sweep.ts';
import { SWEEP_QUEUE } from '../contract/task-queues.ts';

const { sweepExpired, sweepStore } = proxyActivities<SweepActivities>({
  taskQueue: SWEEP_QUEUE,
  heartbeatTimeout: '30s',
  startToCloseTimeout: '12h', // millions of payloads
  scheduleToCloseTimeout: '24h', // the next one begins anew
  retry: { initialInterval: '5s', maximumInterval: '5m' },
});

export interface SweepResult {
  /** How many predictions and batches had expired. */
  readonly expired: number;
  /** How many payloads nobody needed; null: the store was looked at within the last day. */
  readonly payloads: number | null;
}

/** How often what has expired is removed while the store is looked at, which may take hours. */
const EXPIRY_EVERY = '10m';

export async function sweepWorkflow(): Promise<SweepResult> {
  let expired = await sweepExpired();
  setCurrentDetails(`${expired} expired`);
  const looking = sweepStore();
  for (;;) {
    const pause = sleep(EXPIRY_EVERY).then(() => undefined);
    const payloads = await Promise.race([looking, pause]);
    if (payloads !== undefined) {
      const looked = payloads === null ? '' : `, ${payloads} payloads removed that nobody needed`;
      setCurrentDetails(`${expired} expired${looked}`);
      return { expired, payloads };
    }
    expired += await sweepExpired();
    setCurrentDetails(`${expired} expired; the store is being looked at`);
  }
}
