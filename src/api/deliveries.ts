/* Webhook deliveries as clients see them, and telling again. */
import { type Accepted, type Ended } from '../contract/prediction.ts';
import {
  type DeliveryRequest,
  deliveryId,
  type DeliveryState,
  newDelivery,
  predictionEvent,
  type Receiver,
  receiversOf,
} from '../contract/webhook.ts';
import type { DeliveryEngine } from '../temporal/delivery-engine.ts';
import type { PredictionReader } from './prediction-reader.ts';

/** A receiver of a prediction that has ended, and how far telling it has come. */
export interface Delivery {
  readonly request: DeliveryRequest;
  readonly state: DeliveryState;
}

export type Deliveries = ReturnType<typeof createDeliveries>;

export function createDeliveries(dependencies: {
  readonly engine: DeliveryEngine;
  readonly reader: PredictionReader;
  readonly scheduleMs: readonly number[];
}) {
  const { engine, reader, scheduleMs } = dependencies;

  const deliveryTo = async (
    receiver: Receiver,
    accepted: Accepted,
    ended: Ended,
  ): Promise<Delivery> => {
    const id = deliveryId(accepted.id, receiver);
    const found = await engine.find(id);
    const request: DeliveryRequest = {
      id,
      tenant: accepted.tenant,
      event: predictionEvent(accepted, ended),
      receiver,
      schedule_ms: scheduleMs,
      earlier: found?.attempts ?? [],
    };
    return { request, state: found ?? newDelivery(request, ended.completed_at) };
  };

  return {
    /** Every delivery of a prediction; null while it runs. */
    async of(predictionId: string): Promise<readonly Delivery[] | null> {
      const { accepted, ended } = await reader.find(predictionId);
      if (ended === null) return null;
      const receivers =
        accepted.receivers === undefined ? [] : receiversOf(accepted.receivers, ended);
      return await Promise.all(
        receivers.map(async (receiver) => await deliveryTo(receiver, accepted, ended)),
      );
    },

    /** Tells again, or now; the delivery as it is then. */
    async redeliver({ request }: Delivery): Promise<ReturnType<typeof deliveryResource>> {
      await engine.startOrHurry(request);
      const state = await engine.find(request.id);
      return deliveryResource(request.id, state ?? newDelivery(request, new Date().toISOString()));
    },
  };
}

/** A delivery on the wire. */
export const deliveryResource = (id: string, state: DeliveryState) => ({
  id,
  object: 'webhook_delivery' as const,
  ...state,
});
