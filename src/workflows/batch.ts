/* Many inferences in one durable request. Its record lies in its memo. */
import { CancellationScope, log, makeContinueAsNewFunc, setHandler } from '@temporalio/workflow';
import type { EndedBatch } from '../contract/batch.ts';
import {
  BATCH_WORKFLOW,
  batchQuery,
  type BatchRequest,
  type EarlierRuns,
  MEMO_PROGRESS,
} from '../contract/batch-messages.ts';
import { MEMO_ACCEPTED } from '../contract/messages.ts';
import { formatModelRef, modelRefOf } from '../contract/model.ts';
import { BatchRun } from './batch-run.ts';
import { notify } from './notify.ts';
import { outcomeOf, publish } from './publish.ts';

export async function batchWorkflow(request: BatchRequest): Promise<EndedBatch> {
  const { accepted } = request;
  const run = new BatchRun(request);
  let ended: EndedBatch | null = null;
  setHandler(batchQuery, () => ({
    id: accepted.id,
    model: formatModelRef(modelRefOf(accepted)),
    progress: run.progress,
    ended,
  }));
  if (!(await run.infer())) {
    const earlier = await CancellationScope.nonCancellable(async () => await run.leave());
    // A cancel that came meanwhile would be lost on the way to the next run.
    if (earlier !== null && !CancellationScope.current().consideredCancelled) {
      return await continueAsNew(request, earlier);
    }
  }
  ended = await run.end(); // never throws
  publish(ended);
  await notify({ type: 'batch', accepted, ended });
  if (ended.output !== null) {
    await CancellationScope.nonCancellable(async () => await run.dropChunks()).catch(
      (error: unknown) => log.warn('results of chunks are left to the sweep', { error }),
    );
  }
  return outcomeOf(ended);
}

/** Goes on in a run with an empty history. */
async function continueAsNew(request: BatchRequest, earlier: EarlierRuns): Promise<never> {
  const { accepted } = request;
  const next = makeContinueAsNewFunc<typeof batchWorkflow>({
    workflowType: BATCH_WORKFLOW,
    memo: { [MEMO_ACCEPTED]: accepted, [MEMO_PROGRESS]: earlier.progress },
  });
  return await next({ ...request, earlier });
}
