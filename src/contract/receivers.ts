/* Who wants to be told of a prediction's end, as its accepted record keeps it. */

export const PREDICTION_EVENTS = [
  'prediction.succeeded',
  'prediction.failed',
  'prediction.canceled',
  'prediction.aborted',
] as const;

/** What a receiver may be told of. */
export type PredictionEvent = (typeof PREDICTION_EVENTS)[number];

/** The URL that a request names for itself. */
export interface RequestedWebhook {
  readonly url: string;
  readonly events: readonly PredictionEvent[];
}

/** A registered endpoint, as it was when the prediction was accepted. */
export interface MatchingEndpoint {
  readonly id: string;
  /** Where it is, for people; the rest of its URL may be a secret. */
  readonly host: string;
  readonly events: readonly PredictionEvent[];
}

/** Whom to tell of a prediction's end. */
export interface Receivers {
  readonly webhook: RequestedWebhook | null;
  readonly endpoints: readonly MatchingEndpoint[];
  /** The pauses before each attempt. */
  readonly schedule_ms: readonly number[];
}
