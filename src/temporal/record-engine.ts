/* What Buzzer asks Temporal about the workflow of a prediction or a batch, and what it tells it. */
import {
  ApplicationFailure,
  WorkflowExecutionAlreadyStartedError,
  type WorkflowExecutionDescription,
  WorkflowFailedError,
} from '@temporalio/client';
import type { AcceptedRequest } from '../contract/accepted-request.ts';
import type { HistoryEntry } from '../contract/history.ts';
import { MEMO_ACCEPTED, MEMO_ENDED } from '../contract/messages.ts';
import { formatModelRef, modelRefOf } from '../contract/model.ts';
import { SEARCH_ATTRIBUTES } from '../contract/search-attributes.ts';
import { ORCHESTRATION_QUEUE } from '../contract/task-queues.ts';
import type { Engine, PageRequest } from './engine.ts';
import { historyEntries } from './history.ts';
import type { Memo } from './memo.ts';
import {
  type CountQuery,
  countQuery,
  type ListFilter,
  listQuery,
  type RecordKind,
} from './record-queries.ts';

const MAX_SUMMARY_CHARS = 200;
const WORKFLOW_TASK_TIMEOUT = '5s'; // how long a lost orchestration worker goes unnoticed

/** There is or was one with this id. */
export class AlreadyStartedError extends Error {
  override readonly name = 'AlreadyStartedError';
  constructor(id: string) {
    super(`there is ${id} already`);
  }
}

/** An execution as a list shows it. */
export interface Listed<Accepted, Ended> extends Memo<Accepted, Ended> {
  readonly id: string;
  readonly runId: string;
}

export interface Page<Accepted, Ended> {
  readonly rows: readonly Listed<Accepted, Ended>[];
  readonly nextPageToken: Uint8Array | null;
}

/** A kind of record, as its workflow is known to Temporal. */
export interface RecordType<Accepted, Ended> {
  readonly kind: RecordKind;
  /** The name of its workflow. */
  readonly workflow: string;
  readonly memoOf: (description: WorkflowExecutionDescription) => Memo<Accepted, Ended> | null;
}

/** `Request` is the argument of the workflow. */
export class RecordEngine<
  Accepted extends AcceptedRequest,
  Ended,
  Request extends { readonly accepted: Accepted },
> {
  protected readonly engine: Engine;
  readonly #type: RecordType<Accepted, Ended>;

  constructor(engine: Engine, type: RecordType<Accepted, Ended>) {
    this.engine = engine;
    this.#type = type;
  }

  /** Starts a workflow; resolves once Temporal has acknowledged it. Throws `AlreadyStartedError`. */
  async start(request: Request): Promise<void> {
    const { accepted } = request;
    const { tags, priority, start_after: startAfter } = accepted;
    const delayMs = startAfter === undefined ? 0 : Date.parse(startAfter) - Date.now();
    await this.engine
      .timely(async () => {
        await this.engine.client.workflow.start(this.#type.workflow, {
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

  /** Whether it has ended, or is not there. */
  async hasEnded(id: string): Promise<boolean> {
    const found = await this.engine.find(id);
    return found === null || this.#type.memoOf(found)?.ended !== null;
  }

  /** The history of what has this description; throws `WorkflowMissingError`. */
  async history(description: WorkflowExecutionDescription): Promise<readonly HistoryEntry[]> {
    const { workflowId, runId } = description;
    const handle = this.engine.client.workflow.getHandle(workflowId, runId);
    return historyEntries(
      await this.engine.timely(async () => await handle.fetchHistory()),
      description,
    );
  }

  /**
   * Waits until it ends or `signal` aborts. Null when it ended in a way that only
   * `describe` can tell, or did not end.
   */
  async waitForEnd(id: string, signal: AbortSignal): Promise<Ended | null> {
    try {
      return (await this.engine.result(id, signal)) as Ended;
    } catch (error) {
      const cause = error instanceof WorkflowFailedError ? error.cause : undefined;
      if (!(cause instanceof ApplicationFailure)) return null;
      return (cause.details?.[0] as Ended | undefined) ?? null;
    }
  }

  /** Asks it to stop; no error when it has ended. */
  async cancel(id: string): Promise<void> {
    await this.engine.timely(async () => await this.engine.client.workflow.getHandle(id).cancel());
  }

  /** One page of those that fit, in Temporal's order. */
  async list(filter: ListFilter, page: PageRequest): Promise<Page<Accepted, Ended>> {
    const query = listQuery(this.#type.kind, filter);
    const { executions, nextPageToken } = await this.engine.list(query, page);
    const decode = (payload: Parameters<Engine['decode']>[0]) => this.engine.decode(payload);
    return {
      rows: executions.flatMap(({ execution, memo }) => {
        const accepted = decode(memo?.fields?.[MEMO_ACCEPTED]) as Accepted | undefined;
        if (accepted === undefined) return []; // a workflow that somebody started by hand
        const ended = (decode(memo?.fields?.[MEMO_ENDED]) ?? null) as Ended | null;
        return [{ id: accepted.id, runId: execution?.runId ?? '', accepted, ended }];
      }),
      nextPageToken,
    };
  }

  /** How many there are, as far as the visibility store knows by now. */
  async count(query: CountQuery): Promise<number> {
    return await this.engine.count(countQuery(query));
  }
}

/** The summary in the Web UI. */
const summaryOf = (accepted: AcceptedRequest): string =>
  [formatModelRef(modelRefOf(accepted)), accepted.tenant, ...accepted.tags]
    .join(' · ')
    .slice(0, MAX_SUMMARY_CHARS);
