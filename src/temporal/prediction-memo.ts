import type { WorkflowExecutionDescription } from '@temporalio/client';
import { type Accepted, type Ended, predictionError } from '../contract/prediction.ts';
import { type Memo, readMemo } from './memo.ts';

/** A prediction as Temporal knows it. */
export type PredictionMemo = Memo<Accepted, Ended>;

/** The memo of a prediction; null when the workflow is not one of ours. */
export const memoOf = (description: WorkflowExecutionDescription): PredictionMemo | null =>
  readMemo(description, ({ message, completedAt }) => ({
    status: 'failed',
    error: predictionError('terminated', message, 0),
    attempt: 0,
    started_at: null,
    completed_at: completedAt,
  }));
