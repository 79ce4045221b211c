/* Telling whoever asked that a prediction has ended: one workflow for each, which outlives this one. */
import { CancellationScope, startChild } from '@temporalio/workflow';
import { SEARCH_ATTRIBUTES } from '../contract/messages.ts';
import type { Accepted, Ended } from '../contract/prediction.ts';
import { DELIVERY_QUEUE, DELIVERY_TASK_TIMEOUT } from '../contract/task-queues.ts';
import {
  DELIVERY_WORKFLOW,
  deliveryId,
  type DeliveryRequest,
  MEMO_DELIVERY,
  newDelivery,
  predictionEvent,
  type Receiver,
  receiversOf,
} from '../contract/webhook.ts';

/** Starts the deliveries. It cannot fail a prediction, whose result is known by now. */
export async function notify(accepted: Accepted, ended: Ended): Promise<void> {
  const { receivers } = accepted;
  if (receivers === undefined) return;
  await CancellationScope.nonCancellable(async () => {
    const starting = receiversOf(receivers, ended).map(async (receiver) => {
      await startDelivery(accepted, ended, receiver, receivers.schedule_ms);
    });
    await Promise.allSettled(starting); // already started: it was told before this run was reset
  });
}

async function startDelivery(
  accepted: Accepted,
  ended: Ended,
  receiver: Receiver,
  schedule_ms: readonly number[],
): Promise<void> {
  const { tenant } = accepted;
  const event = predictionEvent(accepted, ended);
  const id = deliveryId(accepted.id, receiver);
  const request: DeliveryRequest = { id, tenant, event, receiver, schedule_ms, earlier: [] };
  await startChild(DELIVERY_WORKFLOW, {
    workflowId: id,
    taskQueue: DELIVERY_QUEUE,
    args: [request],
    memo: { [MEMO_DELIVERY]: newDelivery(request, new Date().toISOString()) },
    searchAttributes: {
      [SEARCH_ATTRIBUTES.tenant.name]: [tenant],
      ...('endpoint' in receiver ? { [SEARCH_ATTRIBUTES.endpoint.name]: [receiver.endpoint] } : {}),
    },
    staticSummary: event.type,
    parentClosePolicy: 'ABANDON',
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
    workflowTaskTimeout: DELIVERY_TASK_TIMEOUT,
  });
}
