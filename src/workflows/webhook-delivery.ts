/*
 * Telling one receiver of one event, for as long as that takes. Each attempt is in the memo before
 * the next begins, so the whole story can be read with every worker down. It takes no signals: one
 * that arrives during an attempt would have Temporal throw the attempt away and make it again.
 */
import { ApplicationFailureCategory } from '@temporalio/common';
import {
  ApplicationFailure,
  setCurrentDetails,
  setHandler,
  sleep,
  upsertMemo,
} from '@temporalio/workflow';
import { type NextStep, nextStep } from '../contract/delivery-schedule.ts';
import { deliveryQuery } from '../contract/messages.ts';
import {
  type DeliverResult,
  type DeliveryRequest,
  type DeliveryState,
  deliverySummary,
  MAX_KEPT_ATTEMPTS,
  MEMO_DELIVERY,
  newDelivery,
} from '../contract/webhook.ts';
import { deliver } from './activities.ts';

export async function webhookDeliveryWorkflow(
  request: DeliveryRequest,
): Promise<DeliveryState['status']> {
  const { schedule_ms: scheduleMs, event, receiver, tenant } = request;
  let state = newDelivery(request, new Date().toISOString());
  setHandler(deliveryQuery, () => state);
  let delayMs = scheduleMs[0] ?? 0;
  let made = 0;
  for (;;) {
    const attempt = (state.attempts.at(-1)?.number ?? 0) + 1;
    const summary = deliverySummary(request, attempt);
    setCurrentDetails(summary);
    if (delayMs > 0) await sleep(delayMs, { summary });
    const result = await deliver({ tenant, event, receiver });
    const isBusy = result.outcome === 'busy';
    const step: NextStep = isBusy
      ? { status: 'pending', delayMs: result.retry_after_ms }
      : nextStep(scheduleMs, (made += 1), result, Math.random());
    delayMs = step.status === 'pending' ? step.delayMs : 0;
    const nextAtMs = Date.now() + delayMs;
    state = {
      ...state,
      status: step.status,
      reason: isBusy ? 'origin_busy' : reasonOf(step),
      attempts: attemptsAfter(state, result),
      next_attempt_at: step.status === 'pending' ? new Date(nextAtMs).toISOString() : null,
    };
    upsertMemo({ [MEMO_DELIVERY]: state });
    if (state.status !== 'pending') return outcomeOf(request, state);
  }
}

const reasonOf = (step: NextStep) =>
  step.status === 'failed' || step.status === 'gone' ? step.reason : null;

function attemptsAfter({ attempts }: DeliveryState, result: DeliverResult) {
  if (result.outcome !== 'sent') return attempts;
  const number = (attempts.at(-1)?.number ?? 0) + 1;
  return [...attempts, { number, ...result.attempt }].slice(-MAX_KEPT_ATTEMPTS);
}

/** A delivery that failed is a Failed workflow, so that operators can find it. */
function outcomeOf({ id }: DeliveryRequest, { status, reason }: DeliveryState) {
  if (status === 'delivered') return status;
  throw ApplicationFailure.create({
    type: `webhook_${status}`,
    message: `${id}: ${reason}`,
    nonRetryable: true,
    category: ApplicationFailureCategory.BENIGN,
  });
}
