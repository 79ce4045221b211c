/* What Buzzer asks Temporal about predictions only, and what only their workflows are told. */
import { ApplicationFailure, WorkflowUpdateFailedError } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { messageOf } from '../contract/failure.ts';
import {
  type ChangedTerms,
  type ChangeInferRequest,
  changeTermsUpdate,
  NOT_CHANGEABLE,
  PREDICTION_WORKFLOW,
  type PredictionRequest,
} from '../contract/messages.ts';
import type { Accepted, Ended } from '../contract/prediction.ts';
import type { Engine } from './engine.ts';
import { INFER_ACTIVITY } from './pending-activity.ts';
import { memoOf } from './prediction-memo.ts';
import { type Listed, RecordEngine } from './record-engine.ts';
import { EngineUnavailableError, GRPC_NOT_FOUND, WorkflowMissingError } from './timely-calls.ts';

/** The terms of a prediction cannot be changed now. The message says why. */
export class NotChangeableError extends Error {
  override readonly name = 'NotChangeableError';
}

export type ListedPrediction = Listed<Accepted, Ended>;

export class PredictionEngine extends RecordEngine<Accepted, Ended, PredictionRequest> {
  constructor(engine: Engine) {
    super(engine, { kind: 'prediction', workflow: PREDICTION_WORKFLOW, memoOf });
  }

  /**
   * Gives a prediction other terms; resolves when its record has them, and so has its activity if it
   * waits in a queue. Throws `NotChangeableError`.
   */
  async changeTerms(id: string, terms: ChangedTerms): Promise<void> {
    const handle = this.engine.client.workflow.getHandle(id);
    await this.engine
      .timely(async () => {
        await handle.executeUpdate(changeTermsUpdate, { args: [terms] });
      })
      .catch((error: unknown) => {
        if (error instanceof WorkflowMissingError) throw new NotChangeableError(`${id} has ended`);
        if (!(error instanceof WorkflowUpdateFailedError)) throw error;
        const { cause } = error;
        const isRefused = cause instanceof ApplicationFailure && cause.type === NOT_CHANGEABLE;
        if (isRefused) throw new NotChangeableError(cause.message);
        throw new EngineUnavailableError(`${id} could not be changed: ${messageOf(cause)}`, {
          cause,
        });
      });
  }

  /** Gives the infer activity of a run other options; nothing happens when it is no longer there. */
  async changeInfer({ workflowId, runId, options }: ChangeInferRequest): Promise<void> {
    const { namespace, identity } = this.engine.client.options;
    const { timeouts, priority } = options;
    const durations = Object.entries(timeouts).map(([name, ms]) => [name, msToTs(ms)] as const);
    await this.engine.timely(async () => {
      await this.engine.client.workflowService
        .updateActivityOptions({
          namespace,
          identity,
          execution: { workflowId, runId },
          type: INFER_ACTIVITY,
          activityOptions: { priority, ...Object.fromEntries(durations) },
          updateMask: { paths: ['priority', ...Object.keys(timeouts).map(snakeCase)] },
        })
        .catch((error: { code?: number }) => {
          if (error.code !== GRPC_NOT_FOUND) throw error;
        });
    });
  }
}

const snakeCase = (name: string) =>
  name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
