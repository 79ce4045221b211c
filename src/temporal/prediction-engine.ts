/* Predictions as Temporal knows them. */
import {
  ApplicationFailure,
  type Client,
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
import { formatModelRef, type ModelRef, modelRefOf } from '../contract/model.ts';
import { type Accepted, DEFAULT_PRIORITY, type Ended } from '../contract/prediction.ts';
import { ORCHESTRATION_QUEUE } from '../contract/task-queues.ts';
import { halvesOf } from './halves.ts';
import { historyEntries } from './history.ts';
import { resultOf } from './long-wait.ts';
import { INFER_ACTIVITY } from './pending-activity.ts';
import {
  EngineUnavailableError,
  GRPC_NOT_FOUND,
  type TimelyCall,
  timelyCalls,
  WorkflowMissingError,
} from './timely-calls.ts';
import { listExecutions } from './visibility.ts';

const CHECK_DEADLINE_MS = 2000;
const COUNT_DEADLINE_MS = 500; // a request waits for it, and for more after it
const MAX_RUNS = 100; // of one prediction: each reset makes one
const MAX_SUMMARY_CHARS = 200;
const WORKFLOW_TASK_TIMEOUT = '5s'; // how long a lost orchestration worker goes unnoticed

/** There was a prediction of this id before. */
export class AlreadyStartedError extends Error {
  override readonly name = 'AlreadyStartedError';
  constructor(id: string) {
    super(`there is a prediction ${id} already`);
  }
}

/** Its terms cannot be changed now; the message says why. */
export class NotChangeableError extends Error {
  override readonly name = 'NotChangeableError';
}

/** An execution as a list shows it. */
export interface ListedExecution {
  readonly id: string;
  readonly runId: string;
  readonly accepted: Accepted;
  readonly ended: Ended | null;
}

export interface ExecutionPage {
  readonly executions: readonly ListedExecution[];
  readonly nextPageToken: Uint8Array | null;
}

export interface QueueState {
  readonly isPolled: boolean;
  /** Approximately how many tasks wait; null when the server cannot tell. */
  readonly backlog: number | null;
}

/** Which predictions are meant: a tenant's, a model version's, or a tenant's of a model version. */
export interface PredictionFilter {
  readonly tenant?: string;
  readonly model?: ModelRef;
}

export type CountQuery = PredictionFilter & {
  /** Only those that have not ended. */
  readonly isRunning: boolean;
  /** Only those that started before this, and not before that. */
  readonly beforeMs: number;
  readonly sinceMs?: number;
};

/** temporal.api.enums.v1.TaskQueueType */
const TASK_QUEUE_TYPES = { workflows: 1, activities: 2 } as const;

type Payload = Parameters<
  Client['options']['loadedDataConverter']['payloadConverter']['fromPayload']
>[0];

/** Temporal, for what we ask of it. The client stays its owner's to close. */
export class PredictionEngine {
  readonly #client: Client;
  readonly #timely: TimelyCall;

  constructor(client: Client) {
    this.#client = client;
    this.#timely = timelyCalls(client);
  }

  /**
   * Starts a prediction's workflow; resolves once Temporal has acknowledged it. Throws
   * `AlreadyStartedError`.
   */
  async start(request: PredictionRequest): Promise<void> {
    const { accepted } = request;
    const { tags = [], priority = DEFAULT_PRIORITY, start_after: startAfter } = accepted;
    const delayMs = startAfter === undefined ? 0 : Date.parse(startAfter) - Date.now();
    await this.#timely(async () => {
      await this.#client.workflow.start(PREDICTION_WORKFLOW, {
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
    }).catch((error: unknown) => {
      const isDouble = error instanceof WorkflowExecutionAlreadyStartedError;
      throw isDouble ? new AlreadyStartedError(accepted.id) : error;
    });
  }

  /** What Temporal says of a prediction; throws `WorkflowMissingError`. */
  async describe(id: string): Promise<WorkflowExecutionDescription> {
    return await this.#timely(async () => await this.#client.workflow.getHandle(id).describe());
  }

  /** The same; null when Temporal does not know it, or no longer. */
  async find(id: string): Promise<WorkflowExecutionDescription | null> {
    return await this.describe(id).catch((error: unknown) => {
      if (error instanceof WorkflowMissingError) return null;
      throw error;
    });
  }

  /** Whether a prediction has ended, or is not there. */
  async hasEnded(id: string): Promise<boolean> {
    const found = await this.find(id);
    return found === null || halvesOf(found)?.ended !== null;
  }

  /** What has happened to a prediction that is described so; throws `WorkflowMissingError`. */
  async history(description: WorkflowExecutionDescription): Promise<readonly HistoryEntry[]> {
    const { workflowId, runId } = description;
    const handle = this.#client.workflow.getHandle(workflowId, runId);
    return historyEntries(await this.#timely(async () => await handle.fetchHistory()), description);
  }

  /**
   * Waits until a prediction ends or `signal` aborts. Null when it ended in a way that only
   * `describe` can tell, or did not end.
   */
  async waitForEnd(id: string, signal: AbortSignal): Promise<Ended | null> {
    try {
      return (await resultOf(this.#client, id, signal)) as Ended;
    } catch (error) {
      const cause = error instanceof WorkflowFailedError ? error.cause : undefined;
      if (!(cause instanceof ApplicationFailure)) return null;
      return (cause.details?.[0] as Ended | undefined) ?? null;
    }
  }

  /** Asks a prediction to stop; no error when it has ended. */
  async cancel(id: string): Promise<void> {
    await this.#timely(async () => await this.#client.workflow.getHandle(id).cancel());
  }

  /**
   * Gives a prediction other terms; resolves when its record has them, and so has its activity if it
   * waits in a queue. Throws `NotChangeableError`.
   */
  async changeTerms(id: string, terms: ChangedTerms): Promise<void> {
    const handle = this.#client.workflow.getHandle(id);
    await this.#timely(async () => {
      await handle.executeUpdate(changeTermsUpdate, { args: [terms] });
    }).catch((error: unknown) => {
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
    const { namespace, identity } = this.#client.options;
    const { timeouts, priority } = options;
    const durations = Object.entries(timeouts).map(([name, ms]) => [name, msToTs(ms)] as const);
    await this.#timely(async () => {
      await this.#client.workflowService
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

  /**
   * Has every run of a workflow removed, also one that runs; no error when there is none. It happens
   * some time later: up to a minute when it has just ended.
   */
  async remove(id: string): Promise<void> {
    const { namespace } = this.#client.options;
    const query = `WorkflowId = '${id}'`;
    const page = { pageSize: MAX_RUNS, token: null };
    const { executions } = await listExecutions(this.#client, this.#timely, query, page);
    const known = executions.map(({ execution }) => execution?.runId ?? '');
    for (const runId of new Set([...known, ''])) {
      // '' is the latest, which a list may not know yet
      const workflowExecution = { workflowId: id, runId };
      await this.#timely(async () => {
        const { workflowService } = this.#client;
        await workflowService
          .deleteWorkflowExecution({ namespace, workflowExecution })
          .catch((error: { code?: number }) => {
            if (error.code !== GRPC_NOT_FOUND) throw error;
          });
      });
    }
  }

  /** One page of executions that match a visibility query, in Temporal's order. */
  async list(query: string, pageSize: number, token: Uint8Array | null): Promise<ExecutionPage> {
    const page = await listExecutions(this.#client, this.#timely, query, { pageSize, token });
    return {
      executions: page.executions.flatMap(({ execution, memo }) => {
        const accepted = this.decode(memo?.fields?.[MEMO_ACCEPTED]) as Accepted | undefined;
        if (accepted === undefined) return []; // a workflow that somebody started by hand
        const ended = (this.decode(memo?.fields?.[MEMO_ENDED]) ?? null) as Ended | null;
        return [{ id: accepted.id, runId: execution?.runId ?? '', accepted, ended }];
      }),
      nextPageToken: page.nextPageToken,
    };
  }

  /** How many predictions there are, as far as the visibility store knows by now. */
  async count(query: CountQuery): Promise<number> {
    const { namespace } = this.#client.options;
    const { count } = await this.#timely(
      async () =>
        await this.#client.workflowService.countWorkflowExecutions({
          namespace,
          query: countClauses(query).join(' AND '),
        }),
      COUNT_DEADLINE_MS,
    );
    return Number(count);
  }

  /** A payload of a description, such as heartbeat details; undefined when there is none. */
  decode(payload: Payload | null | undefined): unknown {
    const { payloadConverter } = this.#client.options.loadedDataConverter;
    return payload ? payloadConverter.fromPayload(payload) : undefined;
  }

  /** Whether anybody polls a task queue for activities (or workflows), and how much waits. */
  async queueState(queue: string, kind: keyof typeof TASK_QUEUE_TYPES): Promise<QueueState> {
    const { namespace } = this.#client.options;
    const { pollers, stats } = await this.#timely(
      async () =>
        await this.#client.workflowService.describeTaskQueue({
          namespace,
          taskQueue: { name: queue },
          taskQueueType: TASK_QUEUE_TYPES[kind],
          reportStats: true,
        }),
    );
    const backlog = stats?.approximateBacklogCount;
    return {
      isPolled: (pollers?.length ?? 0) > 0,
      backlog: backlog === undefined || backlog === null ? null : Number(backlog),
    };
  }

  /** Throws `EngineUnavailableError` unless the server answers for our namespace. */
  async check(): Promise<void> {
    const { namespace } = this.#client.options;
    const call = async () => await this.#client.workflowService.describeNamespace({ namespace });
    await this.#timely(call, CHECK_DEADLINE_MS);
  }
}

/** What tells it apart in the Web UI. */
const summaryOf = (accepted: Accepted): string =>
  [formatModelRef(modelRefOf(accepted)), accepted.tenant, ...(accepted.tags ?? [])]
    .join(' · ')
    .slice(0, MAX_SUMMARY_CHARS);

const snakeCase = (name: string) =>
  name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Values are ours: names of checked shape, and numbers. */
function countClauses(query: CountQuery): readonly string[] {
  const { tenant, model, version } = SEARCH_ATTRIBUTES;
  const timestamp = (ms: number) => `'${new Date(ms).toISOString()}'`;
  return [
    `WorkflowType = '${PREDICTION_WORKFLOW}'`,
    ...(query.tenant === undefined ? [] : [`${tenant.name} = '${query.tenant}'`]),
    ...(query.model === undefined
      ? []
      : [
          `${model.name} = '${query.model.name}'`,
          `${version.name} = '${query.model.version}'`,
          `ExecutionTime <= ${timestamp(Date.now())}`, // nobody waits for one that is to start later
        ]),
    ...(query.isRunning ? ["ExecutionStatus = 'Running'"] : []),
    `StartTime < ${timestamp(query.beforeMs)}`,
    ...(query.sinceMs === undefined ? [] : [`StartTime >= ${timestamp(query.sinceMs)}`]),
  ];
}
