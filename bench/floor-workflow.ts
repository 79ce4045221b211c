import { proxyActivities } from '@temporalio/workflow';

const { affine } = proxyActivities<{ affine(values: number[]): Promise<number[]> }>({
  startToCloseTimeout: '1m',
});

/** The least that Temporal can do for a request: one workflow, one trivial activity. */
export async function floorWorkflow(values: number[]): Promise<number[]> {
  return await affine(values);
}
