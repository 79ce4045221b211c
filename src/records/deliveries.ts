/* Webhook deliveries as clients see them, and telling again. */
import {
  type DeliveryRequest,
  deliveryId,
  type DeliveryState,
  endEvent,
  type Finished,
  newDelivery,
  type Receiver,
  receiversOf,
} from '../contract/webhook.ts';
import type { DeliveryEngine } from '../temporal/delivery-engine.ts';

/** A delivery that is due so soon is as good as under way: timers may be late by a second. */
const DUE_MS = 2000;
/** What ended so long ago has started its deliveries, or never will. */
const START_PATIENCE_MS = 60_000;

/** A receiver of what has ended, and how far telling it has come. */
export interface Delivery {
  readonly request: DeliveryRequest;
  readonly state: DeliveryState;
  /** Whether there is a workflow of it. */
  readonly isStarted: boolean;
}

export interface DeliveriesDependencies {
  readonly engine: DeliveryEngine;
  /** The pauses before each attempt of one that is told again. */
  readonly scheduleMs: readonly number[];
}

export class Deliveries {
  readonly #dependencies: DeliveriesDependencies;

  constructor(dependencies: DeliveriesDependencies) {
    this.#dependencies = dependencies;
  }

  /** The deliveries of what has ended, of all or to one endpoint. */
  async of(finished: Finished, endpoint?: string): Promise<readonly Delivery[]> {
    const wanted = receiversOf(finished).filter(
      (receiver) =>
        endpoint === undefined || (receiver.type === 'endpoint' && receiver.id === endpoint),
    );
    return await Promise.all(
      wanted.map(async (receiver) => await this.#deliveryTo(receiver, finished)),
    );
  }

  /** Tells again, or now; one that is being told at this moment is left to it. */
  async redeliver({ request, state, isStarted }: Delivery): Promise<DeliveryResource> {
    const { engine } = this.#dependencies;
    if (!isStarted) await engine.start(request, 'USE_EXISTING');
    else if (!isUnderWay(state)) await engine.start(request, 'TERMINATE_EXISTING');
    return deliveryResource(request.id, (await engine.find(request.id)) ?? state);
  }

  async #deliveryTo(receiver: Receiver, finished: Finished): Promise<Delivery> {
    const { engine, scheduleMs } = this.#dependencies;
    const { accepted, ended } = finished;
    const id = deliveryId(accepted.id, receiver);
    const found = await engine.find(id);
    const request: DeliveryRequest = {
      id,
      tenant: accepted.tenant,
      event: endEvent(finished),
      receiver,
      schedule_ms: scheduleMs,
      earlier: found?.attempts ?? [],
    };
    return { request, state: found ?? unstarted(request, ended), isStarted: found !== null };
  }
}

function isUnderWay({ status, next_attempt_at: nextAt }: DeliveryState): boolean {
  return status === 'pending' && (nextAt === null || Date.parse(nextAt) < Date.now() + DUE_MS);
}

function unstarted(request: DeliveryRequest, ended: Finished['ended']): DeliveryState {
  const state = newDelivery(request, ended.completed_at);
  const isLate = Date.now() > Date.parse(ended.completed_at) + START_PATIENCE_MS;
  return isLate ? { ...state, status: 'failed', reason: 'never_started' } : state;
}

export type DeliveryResource = ReturnType<typeof deliveryResource>;

/** A delivery on the wire. */
export const deliveryResource = (id: string, state: DeliveryState) => ({
  id,
  object: 'webhook_delivery' as const,
  ...state,
});
