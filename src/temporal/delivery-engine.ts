/* Webhook deliveries as Temporal knows them. */
import { type Client, WorkflowFailedError } from '@temporalio/client';
import { SEARCH_ATTRIBUTES } from '../contract/search-attributes.ts';
import {
  DELIVERY_WORKFLOW,
  type DeliveryRequest,
  deliveryStart,
  type DeliveryState,
  MEMO_DELIVERY,
} from '../contract/webhook.ts';
import { resultOf } from './long-wait.ts';
import { type TimelyCall, timelyCalls, WorkflowMissingError } from './timely-calls.ts';
import { listExecutions } from './visibility.ts';

/** However it ended, it was not delivered. */
const UNDELIVERED = "'Failed', 'Terminated', 'TimedOut', 'Canceled'";

export interface DeliveryPage {
  readonly ids: readonly string[];
  readonly nextPageToken: Uint8Array | null;
}

/** The API's view of the deliveries. The client stays its owner's to close. */
export class DeliveryEngine {
  readonly #client: Client;
  readonly #timely: TimelyCall;

  constructor(client: Client) {
    this.#client = client;
    this.#timely = timelyCalls(client);
  }

  /**
   * Starts a delivery, also one that ended before. One that runs is left alone, or ended for this
   * one's sake: not while it makes an attempt, or that would be made again.
   */
  async start(
    request: DeliveryRequest,
    ifRunning: 'USE_EXISTING' | 'TERMINATE_EXISTING',
  ): Promise<void> {
    await this.#timely(async () => {
      await this.#client.workflow.start(DELIVERY_WORKFLOW, {
        ...deliveryStart(request),
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        workflowIdConflictPolicy: ifRunning,
      });
    });
  }

  /** What is known of a delivery; null when it has not been started, or is no longer kept. */
  async find(id: string): Promise<DeliveryState | null> {
    try {
      const handle = this.#client.workflow.getHandle(id);
      const { memo, closeTime } = await this.#timely(async () => await handle.describe());
      const state = memo?.[MEMO_DELIVERY] as DeliveryState | undefined;
      if (state === undefined) return null; // a workflow that somebody started by hand
      const isCutOff = closeTime !== undefined && state.status === 'pending';
      return isCutOff
        ? { ...state, status: 'failed', reason: 'terminated', next_attempt_at: null }
        : state;
    } catch (error) {
      if (error instanceof WorkflowMissingError) return null;
      throw error;
    }
  }

  /** Resolves when a delivery has ended, or `signal` aborts. */
  async waitForEnd(id: string, signal: AbortSignal): Promise<void> {
    try {
      await resultOf(this.#client, id, signal);
    } catch (error) {
      if (!(error instanceof WorkflowFailedError) && !signal.aborted) throw error;
    }
  }

  /** One page of the deliveries to an endpoint: each id may come several times, once for each run. */
  async list(
    { tenant, endpoint, failedSince }: DeliveryQuery,
    page: { readonly pageSize: number; readonly token: Uint8Array | null },
  ): Promise<DeliveryPage> {
    const query = [
      `WorkflowType = '${DELIVERY_WORKFLOW}'`,
      `${SEARCH_ATTRIBUTES.tenant.name} = '${tenant}'`,
      `${SEARCH_ATTRIBUTES.endpoint.name} = '${endpoint}'`,
      ...(failedSince === null
        ? []
        : [`ExecutionStatus IN (${UNDELIVERED})`, `CloseTime >= '${failedSince.toISOString()}'`]),
    ].join(' AND ');
    const { executions, nextPageToken } = await listExecutions(
      this.#client,
      this.#timely,
      query,
      page,
    );
    return { ids: executions.map(({ execution }) => execution?.workflowId ?? ''), nextPageToken };
  }
}

/** Values are ours: an id of checked shape, a tenant from its key. */
export interface DeliveryQuery {
  readonly tenant: string;
  readonly endpoint: string;
  /** Null: all of them. */
  readonly failedSince: Date | null;
}
