import {
  type Client,
  ScheduleAlreadyRunning,
  ScheduleOverlapPolicy,
  type ScheduleOptions,
} from '@temporalio/client';
import { ORCHESTRATION_QUEUE } from '../contract/task-queues.ts';

const SWEEP_SCHEDULE = 'buzzer-sweep';
const SWEEP_WORKFLOW = 'sweepWorkflow';

/** Sees to it that the sweep is run so often, one at a time, whatever was scheduled before. */
export async function scheduleSweep(client: Client, everyMs: number): Promise<void> {
  const options = {
    scheduleId: SWEEP_SCHEDULE,
    spec: { intervals: [{ every: everyMs }] },
    action: {
      type: 'startWorkflow',
      workflowType: SWEEP_WORKFLOW,
      workflowId: SWEEP_SCHEDULE,
      taskQueue: ORCHESTRATION_QUEUE,
      args: [],
    },
    // One that could not be started in time is not made up for: the next one does its work.
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '1m' },
  } satisfies ScheduleOptions;
  try {
    await client.schedule.create(options);
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    const { spec, action, policies } = options;
    await client.schedule.getHandle(SWEEP_SCHEDULE).update(({ state }) => {
      return { spec, action, policies, state };
    });
  }
}
