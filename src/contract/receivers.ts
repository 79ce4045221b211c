/* Who wants to be told of the end of a prediction or a batch, as its accepted record keeps it. */

export const PREDICTION_EVENTS = [
  'prediction.succeeded',
  'prediction.failed',
  'prediction.canceled',
  'prediction.aborted',
] as const;

export const BATCH_EVENTS = [
  'batch.succeeded',
  'batch.failed',
  'batch.canceled',
  'batch.aborted',
] as const;

/** What a receiver may be told of. */
export const EVENTS = [...PREDICTION_EVENTS, ...BATCH_EVENTS] as const;
export type RecordEvent = (typeof EVENTS)[number];

/** The URL that a request names for itself. */
export interface RequestedWebhook {
  readonly url: string;
  readonly events: readonly RecordEvent[];
}

/** A registered endpoint, as it was when the request was accepted. */
export interface MatchingEndpoint {
  readonly id: string;
  /** Where it is, for people; the rest of its URL may be a secret. */
  readonly host: string;
  readonly events: readonly RecordEvent[];
}

/** Whom to tell of the end. */
export interface Receivers {
  readonly webhook: RequestedWebhook | null;
  readonly endpoints: readonly MatchingEndpoint[];
  /** The pauses before each attempt. */
  readonly schedule_ms: readonly number[];
}
