/* Telling whoever asked that a prediction has ended: one workflow for each, which outlives this one. */
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { CancellationScope, log, startChild } from '@temporalio/workflow';
import type { Accepted, Ended } from '../contract/prediction.ts';
import {
  DELIVERY_WORKFLOW,
  deliveryId,
  type DeliveryRequest,
  deliveryStart,
  predictionEvent,
  receiversOf,
} from '../contract/webhook.ts';

/** Starts the deliveries. A failure here is logged: it cannot fail a prediction that has ended. */
export async function notify(accepted: Accepted, ended: Ended): Promise<void> {
  const { receivers, tenant } = accepted;
  if (receivers === undefined) return;
  const event = predictionEvent(accepted, ended);
  await CancellationScope.nonCancellable(async () => {
    const starting = receiversOf(accepted, ended).map(async (receiver) => {
      const id = deliveryId(accepted.id, receiver);
      const { schedule_ms } = receivers;
      await startDelivery({ id, tenant, event, receiver, schedule_ms, earlier: [] });
    });
    await Promise.all(starting);
  });
}

async function startDelivery(request: DeliveryRequest): Promise<void> {
  try {
    await startChild(DELIVERY_WORKFLOW, {
      ...deliveryStart(request),
      parentClosePolicy: 'ABANDON',
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
    });
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return; // a run before a reset has started it
    log.warn('a delivery could not be started; it can be redelivered', { id: request.id, error });
  }
}
