/* The deliver activity: one attempt to tell one receiver of one event. */
import { Context } from '@temporalio/activity';
import type { DeliverRequest, DeliverResult, Receiver } from '../contract/webhook.ts';
import { originOf } from '../outbound/address-policy.ts';
import type { Logger } from '../telemetry/logger.ts';
import { EndpointNotFoundError, type WebhookEndpoints } from '../webhooks/endpoints.ts';
import type { OutboundTurns } from '../outbound/turns.ts';
import type { SendWebhook } from '../webhooks/sender.ts';
import { plainFailure, stoppedFailure } from './failures.ts';

/** How often a failure of our own side is retried before it counts as an attempt of the delivery. */
const OUR_TRIES = 4;

export interface WebhookDependencies {
  readonly endpoints: WebhookEndpoints;
  readonly send: SendWebhook;
  readonly turns: OutboundTurns;
  readonly logger: Logger;
}

export type WebhookActivities = ReturnType<typeof createWebhookActivities>;

export const createWebhookActivities = (dependencies: WebhookDependencies) => ({
  async deliver(request: DeliverRequest): Promise<DeliverResult> {
    const context = Context.current();
    try {
      return await attempt(request, context.cancellationSignal, dependencies);
    } catch (error) {
      if (context.cancellationSignal.aborted) throw stoppedFailure(context);
      const { id } = request.event;
      dependencies.logger.warn({ err: error, event: id }, 'a webhook could not be sent');
      const message = 'we could not send it; the log of the delivery worker says why';
      if (context.info.attempt < OUR_TRIES) throw plainFailure('internal', message, true);
      return ourFault(message);
    }
  },
});

async function attempt(
  { tenant, event, receiver }: DeliverRequest,
  signal: AbortSignal,
  { endpoints, turns, send }: WebhookDependencies,
): Promise<DeliverResult> {
  const found = await urlOf(tenant, receiver, endpoints);
  if (typeof found !== 'string') return found;
  const origin = originOf(found);
  const turn = await turns.take({ tenant, origin }, signal);
  if (turn.kind === 'busy') {
    return { outcome: 'busy', retry_after_ms: Math.ceil(turn.retryInMs) };
  }
  try {
    return await send({ tenant, event, url: found }, signal);
  } finally {
    turn.end();
  }
}

/** Where the receiver is now; or that it is gone. */
async function urlOf(
  tenant: string,
  receiver: Receiver,
  endpoints: WebhookEndpoints,
): Promise<string | Extract<DeliverResult, { outcome: 'gone' }>> {
  if (receiver.type === 'webhook') return receiver.url;
  try {
    const { enabled, url } = await endpoints.get(tenant, receiver.id);
    return enabled ? url : { outcome: 'gone', reason: 'endpoint_disabled' };
  } catch (error) {
    if (error instanceof EndpointNotFoundError) {
      return { outcome: 'gone', reason: 'endpoint_deleted' };
    }
    throw error;
  }
}

const ourFault = (message: string): DeliverResult => ({
  outcome: 'sent',
  attempt: {
    at: new Date().toISOString(),
    origin: null,
    status: null,
    error: { code: 'internal', message },
    duration_ms: 0,
    answer: null,
  },
  retry_after_ms: null,
});
