import type { Memo } from '../../temporal/memo.ts';
import { Problem } from '../http/problems.ts';

/** The two halves of a record that has ended; a problem for one that has not. `what` is what it is asked for. */
export function endedOnly<Accepted extends { readonly id: string }, Ended>(
  { accepted, ended }: Memo<Accepted, Ended>,
  what: 'retry' | 'delete',
): { readonly accepted: Accepted; readonly ended: NonNullable<Ended> } {
  if (ended !== null && ended !== undefined) return { accepted, ended };
  const detail = `${accepted.id} has not ended: cancel it first, then ${what} it`;
  throw new Problem('still_running', detail);
}
