/* The entries of `/history`. */

/** What happened. */
export const HISTORY_EVENTS = [
  'accepted',
  /** Another run of its workflow goes on; what was before is not told. */
  'continued',
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
  /** The number of the attempt, from 1; null for events that belong to none. */
  readonly attempt: number | null;
  /** The worker that ran it. */
  readonly worker: string | null;
  /** Why the attempt failed; at the start of an attempt: why the one before it failed. */
  readonly error: { readonly code: string; readonly message: string } | null;
}
