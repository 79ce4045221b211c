/* Temporal's description of an activity that has not ended. */

export const FETCH_ACTIVITY = 'fetchInput';
export const INFER_ACTIVITY = 'infer';

/** Temporal's PendingActivityState; every other state is of an activity that runs. */
export const ACTIVITY_SCHEDULED = 1;
export const ACTIVITY_PAUSED = 4;

/** Whether no worker has it. */
export const isWaiting = (state: unknown): boolean =>
  [ACTIVITY_SCHEDULED, ACTIVITY_PAUSED].includes(Number(state));
