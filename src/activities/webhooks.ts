/* The deliver activity: one attempt to tell one receiver of one event. */
import { Context } from '@temporalio/activity';
import type { DeliveryEvent, DeliverResult, Receiver } from '../contract/webhook.ts';
import { EndpointNotFoundError, type WebhookEndpoints } from '../webhooks/endpoints.ts';
import type { OriginTurns } from '../webhooks/origin-turns.ts';
import type { SendWebhook } from '../webhooks/sender.ts';
import { originBusy, stoppedFailure } from './failures.ts';

export interface WebhookDependencies {
  readonly endpoints: WebhookEndpoints;
  readonly send: SendWebhook;
  readonly turns: OriginTurns;
}

export type WebhookActivities = ReturnType<typeof createWebhookActivities>;

export const createWebhookActivities = ({ endpoints, send, turns }: WebhookDependencies) => ({
  async deliver({ tenant, event, receiver }: DeliverRequest): Promise<DeliverResult> {
    const context = Context.current();
    const signal = context.cancellationSignal;
    try {
      const found = await urlOf(tenant, receiver, endpoints);
      if ('gone' in found) return found;
      const origin = originOf(found.url);
      const turn = await turns.take(origin, signal);
      if (typeof turn !== 'function') throw originBusy(origin, turn.retryInMs);
      try {
        return await send({ tenant, event, url: found.url }, signal);
      } finally {
        turn();
      }
    } catch (error) {
      throw signal.aborted ? stoppedFailure(context) : error;
    }
  },
});

interface DeliverRequest {
  readonly tenant: string;
  readonly event: DeliveryEvent;
  readonly receiver: Receiver;
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

/** What cannot be parsed has no origin to spare: it is refused before anything is sent. */
const originOf = (url: string): string => (URL.canParse(url) ? new URL(url).origin : url);
