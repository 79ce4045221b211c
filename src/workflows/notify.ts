/* Telling whoever asked that a prediction or a batch has ended: one workflow for each, which outlives this one. */
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { CancellationScope, log, startChild } from '@temporalio/workflow';
import {
  DELIVERY_WORKFLOW,
  deliveryId,
  type DeliveryRequest,
  deliveryStart,
  endEvent,
  type Finished,
  receiversOf,
} from '../contract/webhook.ts';

/** Starts the deliveries. A failure here is logged: it cannot fail what has ended. */
export async function notify(finished: Finished): Promise<void> {
  const { id: ofId, receivers, tenant } = finished.accepted;
  if (receivers === undefined) return;
  const event = endEvent(finished);
  await CancellationScope.nonCancellable(async () => {
    const starting = receiversOf(finished).map(async (receiver) => {
      const id = deliveryId(ofId, receiver);
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
