/* What Buzzer asks Temporal about webhook deliveries only. */
import { WorkflowFailedError } from '@temporalio/client';
import { SEARCH_ATTRIBUTES } from '../contract/search-attributes.ts';
import {
  DELIVERY_WORKFLOW,
  type DeliveryRequest,
  deliveryStart,
  type DeliveryState,
  MEMO_DELIVERY,
} from '../contract/webhook.ts';
import type { Engine, PageRequest } from './engine.ts';

/** The states of a workflow that ended without a delivery. */
const UNDELIVERED = "'Failed', 'Terminated', 'TimedOut', 'Canceled'";

export interface DeliveryPage {
  readonly ids: readonly string[];
  readonly nextPageToken: Uint8Array | null;
}

export class DeliveryEngine {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /**
   * Starts a delivery, also one that ended before. One that runs is left alone, or ended for this
   * one's sake: not while it makes an attempt, or that would be made again.
   */
  async start(
    request: DeliveryRequest,
    ifRunning: 'USE_EXISTING' | 'TERMINATE_EXISTING',
  ): Promise<void> {
    await this.#engine.timely(async () => {
      await this.#engine.client.workflow.start(DELIVERY_WORKFLOW, {
        ...deliveryStart(request),
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        workflowIdConflictPolicy: ifRunning,
      });
    });
  }

  /** What is known of a delivery; null when it has not been started, or is no longer kept. */
  async find(id: string): Promise<DeliveryState | null> {
    const found = await this.#engine.find(id);
    const state = found?.memo?.[MEMO_DELIVERY] as DeliveryState | undefined;
    if (state === undefined) return null; // or it is a workflow that somebody started by hand
    const isCutOff = found?.closeTime !== undefined && state.status === 'pending';
    return isCutOff
      ? { ...state, status: 'failed', reason: 'terminated', next_attempt_at: null }
      : state;
  }

  /** Resolves when a delivery has ended, or `signal` aborts. */
  async waitForEnd(id: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#engine.result(id, signal);
    } catch (error) {
      if (!(error instanceof WorkflowFailedError) && !signal.aborted) throw error;
    }
  }

  /** One page of the deliveries to an endpoint: each id may come several times, once for each run. */
  async list(
    { tenant, endpoint, failedSince }: DeliveryQuery,
    page: PageRequest,
  ): Promise<DeliveryPage> {
    const query = [
      `WorkflowType = '${DELIVERY_WORKFLOW}'`,
      `${SEARCH_ATTRIBUTES.tenant.name} = '${tenant}'`,
      `${SEARCH_ATTRIBUTES.endpoint.name} = '${endpoint}'`,
      ...(failedSince === null
        ? []
        : [`ExecutionStatus IN (${UNDELIVERED})`, `CloseTime >= '${failedSince.toISOString()}'`]),
    ].join(' AND ');
    const { executions, nextPageToken } = await this.#engine.list(query, page);
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
