/* What Buzzer asks Temporal about predictions only, and what it tells their workflows. */
import {
  ApplicationFailure,
  WorkflowExecutionAlreadyStartedError,
  type WorkflowExecutionDescription,
  WorkflowFailedError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { messageOf } from '../contract/failure.ts';
import {
  type ChangedTerms,
  type ChangeInferRequest,
  changeTermsUpdate,
  MEMO_ACCEPTED,
  MEMO_ENDED,
  NOT_CHANGEABLE,
  PREDICTION_WORKFLOW,
  type PredictionRequest,
} from '../contract/messages.ts';
import type { HistoryEntry } from '../contract/history.ts';
import { SEARCH_ATTRIBUTES } from '../contract/search-attributes.ts';
import { formatModelRef, modelRefOf } from '../contract/model.ts';
import type { Accepted, Ended } from '../contract/prediction.ts';
import { ORCHESTRATION_QUEUE } from '../contract/task-queues.ts';
import type { Engine, PageRequest } from './engine.ts';
import { memoOf } from './prediction-memo.ts';
import { type CountQuery, countQuery, type ListFilter, listQuery } from './prediction-queries.ts';
import { historyEntries } from './history.ts';
import { INFER_ACTIVITY } from './pending-activity.ts';
import { EngineUnavailableError, GRPC_NOT_FOUND, WorkflowMissingError } from './timely-calls.ts';

const MAX_SUMMARY_CHARS = 200;
const WORKFLOW_TASK_TIMEOUT = '5s'; // how long a lost orchestration worker goes unnoticed

/** There is or was a prediction with this id. */
export class AlreadyStartedError extends Error {
  override readonly name = 'AlreadyStartedError';
  constructor(id: string) {
    super(`there is a prediction ${id} already`);
  }
}

/** The terms of a prediction cannot be changed now. The message says why. */
export class NotChangeableError extends Error {
  override readonly name = 'NotChangeableError';
}

/** An execution as a list shows it. */
export interface ListedPrediction {
  readonly id: string;
  readonly runId: string;
  readonly accepted: Accepted;
  readonly ended: Ended | null;
}

export interface PredictionPage {
  readonly predictions: readonly ListedPrediction[];
  readonly nextPageToken: Uint8Array | null;
}

export class PredictionEngine {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /**
   * Starts a prediction's workflow; resolves once Temporal has acknowledged it. Throws
   * `AlreadyStartedError`.
   */
  async start(request: PredictionRequest): Promise<void> {
    const { accepted } = request;
    const { tags, priority, start_after: startAfter } = accepted;
    const delayMs = startAfter === undefined ? 0 : Date.parse(startAfter) - Date.now();
    await this.#engine
      .timely(async () => {
        await this.#engine.client.workflow.start(PREDICTION_WORKFLOW, {
          workflowId: accepted.id,
          taskQueue: ORCHESTRATION_QUEUE,
          args: [request],
          memo: { [MEMO_ACCEPTED]: accepted },
          searchAttributes: {
            [SEARCH_ATTRIBUTES.model.name]: [accepted.model],
            [SEARCH_ATTRIBUTES.version.name]: [String(accepted.version)],
            [SEARCH_ATTRIBUTES.tenant.name]: [accepted.tenant],
            ...(tags.length === 0 ? {} : { [SEARCH_ATTRIBUTES.tags.name]: [...tags] }),
          },
          priority: { priorityKey: priority, fairnessKey: accepted.tenant },
          ...(delayMs > 0 ? { startDelay: delayMs } : {}),
          staticSummary: summaryOf(accepted),
          workflowIdReusePolicy: 'REJECT_DUPLICATE',
          workflowIdConflictPolicy: 'FAIL',
          workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT,
        });
      })
      .catch((error: unknown) => {
        const isDouble = error instanceof WorkflowExecutionAlreadyStartedError;
        throw isDouble ? new AlreadyStartedError(accepted.id) : error;
      });
  }

  /** Whether a prediction has ended, or is not there. */
  async hasEnded(id: string): Promise<boolean> {
    const found = await this.#engine.find(id);
    return found === null || memoOf(found)?.ended !== null;
  }

  /** The history of a prediction with this description; throws `WorkflowMissingError`. */
  async history(description: WorkflowExecutionDescription): Promise<readonly HistoryEntry[]> {
    const { workflowId, runId } = description;
    const handle = this.#engine.client.workflow.getHandle(workflowId, runId);
    return historyEntries(
      await this.#engine.timely(async () => await handle.fetchHistory()),
      description,
    );
  }

  /**
   * Waits until a prediction ends or `signal` aborts. Null when it ended in a way that only
   * `describe` can tell, or did not end.
   */
  async waitForEnd(id: string, signal: AbortSignal): Promise<Ended | null> {
    try {
      return (await this.#engine.result(id, signal)) as Ended;
    } catch (error) {
      const cause = error instanceof WorkflowFailedError ? error.cause : undefined;
      if (!(cause instanceof ApplicationFailure)) return null;
      return (cause.details?.[0] as Ended | undefined) ?? null;
    }
  }

  /** Asks a prediction to stop; no error when it has ended. */
  async cancel(id: string): Promise<void> {
    await this.#engine.timely(
      async () => await this.#engine.client.workflow.getHandle(id).cancel(),
    );
  }

  /**
   * Gives a prediction other terms; resolves when its record has them, and so has its activity if it
   * waits in a queue. Throws `NotChangeableError`.
   */
  async changeTerms(id: string, terms: ChangedTerms): Promise<void> {
    const handle = this.#engine.client.workflow.getHandle(id);
    await this.#engine
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
    const { namespace, identity } = this.#engine.client.options;
    const { timeouts, priority } = options;
    const durations = Object.entries(timeouts).map(([name, ms]) => [name, msToTs(ms)] as const);
    await this.#engine.timely(async () => {
      await this.#engine.client.workflowService
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

  /** One page of predictions that fit, in Temporal's order. */
  async list(filter: ListFilter, page: PageRequest): Promise<PredictionPage> {
    const { executions, nextPageToken } = await this.#engine.list(listQuery(filter), page);
    const decode = (payload: Parameters<Engine['decode']>[0]) => this.#engine.decode(payload);
    return {
      predictions: executions.flatMap(({ execution, memo }) => {
        const accepted = decode(memo?.fields?.[MEMO_ACCEPTED]) as Accepted | undefined;
        if (accepted === undefined) return []; // a workflow that somebody started by hand
        const ended = (decode(memo?.fields?.[MEMO_ENDED]) ?? null) as Ended | null;
        return [{ id: accepted.id, runId: execution?.runId ?? '', accepted, ended }];
      }),
      nextPageToken,
    };
  }

  /** How many predictions there are, as far as the visibility store knows by now. */
  async count(query: CountQuery): Promise<number> {
    return await this.#engine.count(countQuery(query));
  }
}

/** The summary of a prediction in the Web UI. */
const summaryOf = (accepted: Accepted): string =>
  [formatModelRef(modelRefOf(accepted)), accepted.tenant, ...accepted.tags]
    .join(' · ')
    .slice(0, MAX_SUMMARY_CHARS);

const snakeCase = (name: string) =>
  name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
