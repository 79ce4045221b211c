/* A batch as OpenAI's clients read it: https://platform.openai.com/docs/api-reference/batch/object */
import type { AcceptedBatch, Batch, EndedBatch } from '../../contract/batch.ts';
import { secondsOf } from './generated.ts';

/** Their words for the states of a batch. */
function statusOf({ status, error }: Batch): string {
  switch (status) {
    case 'queued':
      return 'validating';
    case 'processing':
      return 'in_progress';
    case 'canceling':
      return 'cancelling';
    case 'succeeded':
      return 'completed';
    case 'canceled':
      return 'cancelled';
    case 'failed':
    case 'aborted': {
      const isLate = error?.code === 'deadline_exceeded' || error?.code === 'queue_timeout';
      return isLate ? 'expired' : 'failed';
    }
  }
}

/** `asked`: what its request said in this dialect. */
export function batchObject(
  batch: Batch,
  { openai: asked }: Pick<AcceptedBatch, 'openai'>,
  ended: EndedBatch | null,
) {
  const status = statusOf(batch);
  const { total, succeeded, failed } = batch.request_counts;
  const at = (state: string) =>
    status === state && batch.completed_at !== null ? secondsOf(batch.completed_at) : null;
  const seconds = (time: string | null) => (time === null ? null : secondsOf(time));
  const data = batch.error === null ? [] : [errorOf(batch.error)];
  return {
    id: batch.id,
    object: 'batch',
    endpoint: asked?.endpoint ?? null,
    model: batch.model,
    errors: data.length === 0 ? null : { object: 'list', data },
    input_file_id: asked?.input_file_id ?? null,
    completion_window: asked?.completion_window ?? batch.deadline,
    status,
    output_file_id: ended?.files?.output ?? null,
    error_file_id: ended?.files?.errors ?? null,
    created_at: secondsOf(batch.created_at),
    in_progress_at: seconds(batch.started_at),
    expires_at: secondsOf(batch.deadline_at),
    finalizing_at: at('completed'),
    completed_at: at('completed'),
    failed_at: at('failed'),
    expired_at: at('expired'),
    cancelling_at: at('cancelled'),
    cancelled_at: at('cancelled'),
    request_counts: { total, completed: succeeded, failed },
    metadata: Object.keys(batch.metadata).length === 0 ? null : batch.metadata,
  };
}

const errorOf = ({ code, message }: NonNullable<Batch['error']>) => ({
  code,
  message,
  param: null,
  line: null,
});
