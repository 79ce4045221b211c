import { defineQuery, defineUpdate } from '@temporalio/workflow';
import type { AttemptReport, EarlierAttempts } from './failure.ts';
import type { Claim, Json, Owner, Stored } from './payload.ts';
import type { Accepted, Ended, InputSource, Metrics } from './prediction.ts';
import type { DeliveryState } from './webhook.ts';

/** The workflow's type name, for clients that cannot import workflow code. */
export const PREDICTION_WORKFLOW = 'predictionWorkflow';

/** The two keys of the memo. Each is written once; `accepted` is written again when the terms change. */
export const MEMO_ACCEPTED = 'accepted';
export const MEMO_ENDED = 'ended';

/** The memo's key for the number of attempts before infer was scheduled anew; absent until then. */
export const MEMO_ATTEMPTS = 'attempts';

/** The argument of the workflow. */
export interface PredictionRequest {
  readonly accepted: Accepted;
  /** How long a lost worker goes unnoticed. */
  readonly heartbeatTimeoutMs: number;
}

/** A query for the Web UI and the CLI. The API reads the memo instead. */
export interface PredictionView {
  readonly id: string;
  readonly model: string;
  readonly status: 'queued' | Ended['status'];
  readonly accepted: Accepted;
  readonly ended: Ended | null;
}

export const predictionQuery = defineQuery<PredictionView>('prediction');

/** New terms for a prediction. A queue_ttl that is as long as the deadline follows it. */
export type ChangedTerms = Partial<
  Pick<Accepted, 'queue_ttl' | 'deadline'> & { readonly priority: number }
>;

/** The most changes of a prediction, so that its history cannot grow without end. */
export const MAX_CHANGES = 100;

/** The failure type of a refused change; its message says why. */
export const NOT_CHANGEABLE = 'not_changeable';

/** Resolves when the record has the new terms and so has its activity, if it waits in a queue. */
export const changeTermsUpdate = defineUpdate<void, [ChangedTerms]>('changeTerms');

export const deliveryQuery = defineQuery<DeliveryState>('delivery');

/** The longest time from the first byte of a request for an input to the last byte of the answer. */
export const FETCH_DEADLINE_MS = 300_000;

/** What the fetchInput activity is asked; it answers with the claim on what it stored. */
export interface FetchInputRequest extends Owner {
  readonly field: string;
  readonly source: InputSource;
}

/** The options of the infer activity in Temporal that new terms change: timeouts and priority. */
export interface InferOptions {
  /** Timeouts in ms, by Temporal's names. */
  readonly timeouts: Readonly<
    Record<
      | 'scheduleToCloseTimeout'
      | 'scheduleToStartTimeout'
      | 'startToCloseTimeout'
      | 'heartbeatTimeout',
      number
    >
  >;
  readonly priority: { readonly priorityKey: number; readonly fairnessKey: string };
}

/** The argument of the changeInfer activity: other options for the infer activity of a run. */
export interface ChangeInferRequest {
  readonly workflowId: string;
  readonly runId: string;
  readonly options: InferOptions;
}

/** The argument of the infer activity. */
export interface InferRequest extends Owner {
  readonly model: string;
  readonly version: number;
  readonly input: Readonly<Record<string, Stored>>;
  readonly options: Readonly<Record<string, Json>>;
  /** Options that lie in the store, sealed; absent: none. */
  readonly secrets?: Claim;
  /** When it began to wait. */
  readonly created_at: string;
  readonly priority: number;
  /** Measured from the moment the input is handed to the model process. */
  readonly runTimeoutMs: number;
  readonly earlier: EarlierAttempts;
}

/** The result of the infer activity. */
export interface InferResult {
  readonly output: Stored;
  /** The images that it tells of; absent: it tells of none. */
  readonly images?: readonly Claim[];
  readonly report: AttemptReport;
  readonly metrics: Metrics;
  /** The attempt that began with nothing (`WorkSoFar`); absent: 1, or its model does not tell its work. */
  readonly since?: number;
}
