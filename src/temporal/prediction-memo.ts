/* The two halves of a record, as the memo of its workflow holds them. */
import type { WorkflowExecutionDescription } from '@temporalio/client';
import { MEMO_ACCEPTED, MEMO_ENDED } from '../contract/messages.ts';
import { type Accepted, type Ended, predictionError } from '../contract/prediction.ts';

/** A prediction as Temporal knows it. */
export interface PredictionMemo {
  readonly accepted: Accepted;
  /** Null while it has not ended. */
  readonly ended: Ended | null;
}

/** The memo of a prediction; null when the workflow is not one of ours. */
export function memoOf(description: WorkflowExecutionDescription): PredictionMemo | null {
  const memo = description.memo ?? {};
  const accepted = memo[MEMO_ACCEPTED] as Accepted | undefined;
  if (accepted === undefined) return null;
  // A prediction has ended once `ended` is written, although its workflow is still starting deliveries.
  const ended = memo[MEMO_ENDED] as Ended | undefined;
  if (description.closeTime === undefined) return { accepted, ended: ended ?? null };
  return { accepted, ended: ended ?? endedFromOutside(description) };
}

/** The end of a workflow that was terminated or timed out before it could write one. */
function endedFromOutside(description: WorkflowExecutionDescription): Ended {
  const message = `the workflow was ended from outside (${description.status.name.toLowerCase()})`;
  return {
    status: 'failed',
    error: predictionError('terminated', message, 0),
    attempt: 0,
    started_at: null,
    completed_at: (description.closeTime ?? new Date()).toISOString(),
  };
}
