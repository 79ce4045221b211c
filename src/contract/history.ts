/* What `/history` tells of a prediction. */

/** What is told of. */
export const HISTORY_EVENTS = [
  'accepted',
  'fetching_input',
  'queued',
  'attempt_started',
  'attempt_succeeded',
  'attempt_failed',
  'attempt_canceled',
  'retry_scheduled',
  'terms_changed',
  'cancel_requested',
  'telling_receiver',
  'ended',
] as const;

export interface HistoryEntry {
  /** RFC 3339. */
  readonly at: string | null;
  readonly event: (typeof HISTORY_EVENTS)[number];
  /** Of its activity, from 1; null where there is none. */
  readonly attempt: number | null;
  /** Who ran it. */
  readonly worker: string | null;
  /** Why it failed; at the start of an attempt: why the one before it did. */
  readonly error: { readonly code: string; readonly message: string } | null;
}
