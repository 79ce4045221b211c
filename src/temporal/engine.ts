/* What Buzzer asks Temporal about any workflow. */
import type { Client, WorkflowExecutionDescription } from '@temporalio/client';
import { resultOf } from './long-wait.ts';
import {
  GRPC_NOT_FOUND,
  type TimelyCall,
  timelyCalls,
  WorkflowMissingError,
} from './timely-calls.ts';

const CHECK_DEADLINE_MS = 2000;
const COUNT_DEADLINE_MS = 500; // a request waits for the count, and for other calls after it
const MAX_RUNS = 100; // runs of one workflow: each reset makes one

export interface QueueState {
  readonly isPolled: boolean;
  /** Approximately how many tasks wait; null when the server cannot tell. */
  readonly backlog: number | null;
}

export interface PageRequest {
  readonly pageSize: number;
  /** Where the page before ended; null: the first page. */
  readonly token: Uint8Array | null;
}

type Executions = Awaited<
  ReturnType<Client['workflowService']['listWorkflowExecutions']>
>['executions'];

type Payload = Parameters<
  Client['options']['loadedDataConverter']['payloadConverter']['fromPayload']
>[0];

/** temporal.api.enums.v1.TaskQueueType */
const TASK_QUEUE_TYPES = { workflows: 1, activities: 2 } as const;

/**
 * Every call has a deadline and throws `EngineUnavailableError` beyond it. The client stays its owner's
 * to close.
 */
export class Engine {
  /** For calls that only one kind of workflow needs; they go through `timely`. */
  readonly client: Client;
  readonly timely: TimelyCall;

  constructor(client: Client) {
    this.client = client;
    this.timely = timelyCalls(client);
  }

  /** Temporal's description of a workflow; throws `WorkflowMissingError`. */
  async describe(id: string): Promise<WorkflowExecutionDescription> {
    return await this.timely(async () => await this.client.workflow.getHandle(id).describe());
  }

  /** The same; null when Temporal does not know it, or no longer. */
  async find(id: string): Promise<WorkflowExecutionDescription | null> {
    return await this.describe(id).catch((error: unknown) => {
      if (error instanceof WorkflowMissingError) return null;
      throw error;
    });
  }

  /** Waits for the result of a workflow; throws its failure, or the reason of `signal`. */
  async result(id: string, signal: AbortSignal): Promise<unknown> {
    return await resultOf(this.client, id, signal);
  }

  /** One page of executions that match a visibility query, in Temporal's order. */
  async list(
    query: string,
    { pageSize, token }: PageRequest,
  ): Promise<{ readonly executions: Executions; readonly nextPageToken: Uint8Array | null }> {
    const { namespace } = this.client.options;
    const nextPage = token === null ? {} : { nextPageToken: token };
    const page = await this.timely(async () => {
      const { workflowService } = this.client;
      return await workflowService.listWorkflowExecutions({
        namespace,
        query,
        pageSize,
        ...nextPage,
      });
    });
    const isLast = (page.nextPageToken?.length ?? 0) === 0;
    return { executions: page.executions, nextPageToken: isLast ? null : page.nextPageToken };
  }

  /** How many executions match a visibility query, as far as the visibility store knows by now. */
  async count(query: string): Promise<number> {
    const { namespace } = this.client.options;
    const { count } = await this.timely(async () => {
      return await this.client.workflowService.countWorkflowExecutions({ namespace, query });
    }, COUNT_DEADLINE_MS);
    return Number(count);
  }

  /**
   * Has every run of a workflow removed, also one that runs; no error when there is none. It happens
   * some time later: up to a minute when it has just ended.
   */
  async remove(id: string): Promise<void> {
    const { namespace } = this.client.options;
    const page = { pageSize: MAX_RUNS, token: null };
    const { executions } = await this.list(`WorkflowId = '${id}'`, page);
    const known = executions.map(({ execution }) => execution?.runId ?? '');
    for (const runId of new Set([...known, ''])) {
      // '' means the latest run, which a list may not know yet
      const workflowExecution = { workflowId: id, runId };
      await this.timely(async () => {
        const { workflowService } = this.client;
        await workflowService
          .deleteWorkflowExecution({ namespace, workflowExecution })
          .catch((error: { code?: number }) => {
            if (error.code !== GRPC_NOT_FOUND) throw error;
          });
      });
    }
  }

  /** Whether anybody polls a task queue for activities (or workflows), and how much waits. */
  async queueState(queue: string, kind: keyof typeof TASK_QUEUE_TYPES): Promise<QueueState> {
    const { namespace } = this.client.options;
    const { pollers, stats } = await this.timely(async () => {
      return await this.client.workflowService.describeTaskQueue({
        namespace,
        taskQueue: { name: queue },
        taskQueueType: TASK_QUEUE_TYPES[kind],
        reportStats: true,
      });
    });
    const backlog = stats?.approximateBacklogCount;
    return {
      isPolled: (pollers?.length ?? 0) > 0,
      backlog: backlog === undefined || backlog === null ? null : Number(backlog),
    };
  }

  /** A payload of a description, such as heartbeat details; undefined when there is none. */
  decode(payload: Payload | null | undefined): unknown {
    const { payloadConverter } = this.client.options.loadedDataConverter;
    return payload ? payloadConverter.fromPayload(payload) : undefined;
  }

  /** Throws `EngineUnavailableError` unless the server answers for our namespace. */
  async check(): Promise<void> {
    const { namespace } = this.client.options;
    const call = async () => await this.client.workflowService.describeNamespace({ namespace });
    await this.timely(call, CHECK_DEADLINE_MS);
  }
}
