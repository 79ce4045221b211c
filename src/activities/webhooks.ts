/* The deliver activity: one attempt to tell one receiver of one event. */
import { Context } from '@temporalio/activity';
import type { DeliverRequest, DeliverResult, Receiver } from '../contract/webhook.ts';
import { originOf } from '../outbound/address-policy.ts';
import type { Logger } from '../telemetry/logger.ts';
import { EndpointNotFoundError, type WebhookEndpoints } from '../webhooks/endpoints.ts';
import type { OutboundTurns } from '../outbound/turns.ts';
import type { SendWebhook } from '../webhooks/sender.ts';
import { plainFailure, stoppedFailure } from './failures.ts';

/** So often our own side is tried, before its failure is an attempt of the delivery's schedule. */
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
  if ('gone' in found) return found;
  const origin = originOf(found.url);
  const turn = await turns.take({ tenant, origin }, signal);
  if (typeof turn !== 'function') return { busy_ms: Math.ceil(turn.retryInMs) };
  try {
    return await send({ tenant, event, url: found.url }, signal);
  } finally {
    turn();
  }
}

async function urlOf(tenant: string, receiver: Receiver, endpoints: WebhookEndpoints) {
  if ('url' in receiver) return receiver;
  try {
    const endpoint = await endpoints.get(tenant, receiver.endpoint);
    return endpoint.enabled ? endpoint : ({ gone: 'endpoint_disabled' } as const);
  } catch (error) {
    if (error instanceof EndpointNotFoundError) return { gone: 'endpoint_deleted' } as const;
    throw error;
  }
}

const ourFault = (message: string): DeliverResult => ({
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
