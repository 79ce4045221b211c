import { defineQuery, defineUpdate } from '@temporalio/workflow';
import type { AttemptReport, EarlierAttempts } from './failure.ts';
import type { Json, Owner, Stored } from './payload.ts';
import type { Accepted, Ended, InputSource, Metrics } from './prediction.ts';
import type { DeliveryState } from './webhook.ts';

/** The workflow's type name, for clients that cannot import workflow code. */
export const PREDICTION_WORKFLOW = 'predictionWorkflow';

/** The memo's two keys, each written once; the first anew whenever the terms change. */
export const MEMO_ACCEPTED = 'accepted';
export const MEMO_ENDED = 'ended';

/** The memo's key for the number of attempts before infer was scheduled anew; absent until then. */
export const MEMO_ATTEMPTS = 'attempts';

/** What a workflow is started with. */
export interface PredictionRequest {
  readonly accepted: Accepted;
  /** How long a lost worker goes unnoticed. */
  readonly heartbeatTimeoutMs: number;
}

/** What the workflow itself knows: for the Web UI and the CLI; HTTP reads the memo. */
export interface PredictionView {
  readonly id: string;
  readonly model: string;
  readonly status: 'queued' | Ended['status'];
  readonly accepted: Accepted;
  readonly ended: Ended | null;
}

export const predictionQuery = defineQuery<PredictionView>('prediction');

/** Terms that take the place of those a prediction has. A queue_ttl that is the deadline follows it. */
export type ChangedTerms = Partial<
  Pick<Accepted, 'queue_ttl' | 'deadline'> & { readonly priority: number }
>;

/** A history must not grow for ever. */
export const MAX_CHANGES = 100;

/** The type of failure when a prediction cannot be changed now; its message says why. */
export const NOT_CHANGEABLE = 'not_changeable';

/** Resolves when the record has the new terms and so has its activity, if it waits in a queue. */
export const changeTermsUpdate = defineUpdate<void, [ChangedTerms]>('changeTerms');

export const deliveryQuery = defineQuery<DeliveryState>('delivery');

/** From the first byte of a request for an input to the last of the answer. */
export const FETCH_DEADLINE_MS = 300_000;

/** What the fetchInput activity is asked; it answers with the claim on what it stored. */
export interface FetchInputRequest extends Owner {
  readonly field: string;
  readonly source: InputSource;
}

/** When Temporal hands the infer activity out, before whom, and how long it waits for what. */
export interface InferOptions {
  /** In ms, by the names that Temporal gives them. */
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

/** What the changeInfer activity is asked: other options for the infer activity of a run. */
export interface ChangeInferRequest {
  readonly workflowId: string;
  readonly runId: string;
  readonly options: InferOptions;
}

/** What the infer activity is asked. */
export interface InferRequest extends Owner {
  readonly model: string;
  readonly version: number;
  readonly input: Readonly<Record<string, Stored>>;
  readonly options: Readonly<Record<string, Json>>;
  /** From then on it waited. */
  readonly created_at: string;
  readonly priority: number;
  /** Measured from the moment the input is handed to the model process. */
  readonly runTimeoutMs: number;
  readonly earlier: EarlierAttempts;
}

/** What the infer activity answers. */
export interface InferResult {
  readonly output: Stored;
  readonly report: AttemptReport;
  readonly metrics: Metrics;
}
