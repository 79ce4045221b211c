/* The two halves of a record, as the memo of its workflow holds them. */
import type { WorkflowExecutionDescription } from '@temporalio/client';
import { MEMO_ACCEPTED, MEMO_ENDED } from '../contract/messages.ts';

/** A request as Temporal knows it. */
export interface Memo<Accepted, Ended> {
  readonly accepted: Accepted;
  /** Null while it has not ended. */
  readonly ended: Ended | null;
}

/** The end of a workflow that was terminated or timed out before it could write one. */
export interface OutsideEnd {
  readonly message: string;
  /** RFC 3339. */
  readonly completedAt: string;
}

/** The memo of a workflow; null when it is not one of ours. `endOf` makes the end of one that wrote none. */
export function readMemo<Accepted, Ended>(
  { memo = {}, closeTime, status }: WorkflowExecutionDescription,
  endOf: (outside: OutsideEnd) => Ended,
): Memo<Accepted, Ended> | null {
  const accepted = memo[MEMO_ACCEPTED] as Accepted | undefined;
  if (accepted === undefined) return null;
  // It has ended once `ended` is written, although its workflow is still starting deliveries.
  const ended = memo[MEMO_ENDED] as Ended | undefined;
  if (ended !== undefined || closeTime === undefined) return { accepted, ended: ended ?? null };
  const message = `the workflow was ended from outside (${status.name.toLowerCase()})`;
  return { accepted, ended: endOf({ message, completedAt: closeTime.toISOString() }) };
}
