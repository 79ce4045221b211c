import type { WorkflowExecutionDescription } from '@temporalio/client';
import {
  type AcceptedBatch,
  type BatchProgress,
  type EndedBatch,
  itemError,
} from '../contract/batch.ts';
import { MEMO_PROGRESS } from '../contract/batch-messages.ts';
import { type Memo, readMemo } from './memo.ts';

/** A batch as Temporal knows it. */
export type BatchMemo = Memo<AcceptedBatch, EndedBatch>;

/** The memo of a batch; null when the workflow is not one of ours. */
export function batchMemoOf(description: WorkflowExecutionDescription): BatchMemo | null {
  const progress = progressIn(description);
  return readMemo(description, ({ message, completedAt }) => ({
    status: 'failed',
    error: itemError('terminated', message),
    counts: progress?.counts ?? { succeeded: 0, failed: 0 },
    started_at: progress?.started_at ?? null,
    completed_at: completedAt,
    output: null,
  }));
}

/** How far a batch has come; null: its first chunk has yet to begin. */
export const progressIn = ({ memo }: WorkflowExecutionDescription): BatchProgress | null =>
  (memo?.[MEMO_PROGRESS] ?? null) as BatchProgress | null;
