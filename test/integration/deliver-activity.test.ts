/* The deliver activity by itself: what is the receiver's fault, what is ours, and what is nobody's. */
import { ApplicationFailure } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createWebhookActivities } from '../../src/activities/webhooks.ts';
import type { DeliverRequest, DeliverResult } from '../../src/contract/webhook.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import type { WebhookEndpoints } from '../../src/webhooks/endpoints.ts';
import { OutboundTurns } from '../../src/outbound/turns.ts';
import type { SendWebhook } from '../../src/webhooks/sender.ts';

const logger = createLogger('test', 'silent');
const request: DeliverRequest = {
  tenant: 'default',
  event: {
    id: 'evt_1',
    type: 'ping',
    timestamp: '2026-01-01T00:00:00.000Z',
    subject: { type: 'ping' },
  },
  receiver: { type: 'webhook', url: 'https://hooks.example.:8443/path?token=canary' },
};

async function deliver(
  { attempt = 1, ...rest }: { attempt?: number; send?: SendWebhook; endpoints?: object },
  wanted: DeliverRequest = request,
): Promise<DeliverResult> {
  const send: SendWebhook = async () => await Promise.reject(new Error('not expected'));
  const dependencies = {
    endpoints: {} as WebhookEndpoints,
    send,
    turns: new OutboundTurns({ perTenant: 4, perOrigin: 4, perTenantAndOrigin: 4 }),
    logger,
  };
  const activities = createWebhookActivities({ ...dependencies, ...(rest as object) });
  const environment = new MockActivityEnvironment({ attempt });
  return (await environment.run(
    async (given: DeliverRequest) => await activities.deliver(given),
    wanted,
  )) as DeliverResult;
}

test('what goes wrong on our side is tried again, then it is an attempt that says so', async () => {
  const send: SendWebhook = async () => await Promise.reject(new Error('the disk is on fire'));
  const early = deliver({ send, attempt: 3 });

  await expect(early).rejects.toMatchObject({ type: 'internal', nonRetryable: false });
  await expect(early).rejects.toThrow(ApplicationFailure);
  await expect(early).rejects.not.toThrow('fire'); // that is for the log
  expect(await deliver({ send, attempt: 4 })).toMatchObject({
    attempt: { status: null, origin: null, error: { code: 'internal' } },
  });
});

test('an endpoint that cannot be looked up is our side, not one that is gone', async () => {
  const endpoints = { get: async () => await Promise.reject(new Error('no store')) };
  const toEndpoint: DeliverRequest = {
    ...request,
    receiver: { type: 'endpoint', id: 'whe_1', host: 'hooks.example' },
  };

  await expect(deliver({ endpoints }, toEndpoint)).rejects.toMatchObject({ type: 'internal' });
});

test('a receiver with enough to do is asked again when it is told to', async () => {
  const turns = {
    take: async ({ origin }: { origin: string }) => {
      expect(origin).toBe('https://hooks.example:8443'); // a full stop at its end is no other host
      return await Promise.resolve({ kind: 'busy', retryInMs: 1234.5 });
    },
  };

  expect(await deliver({ turns } as object)).toEqual({ outcome: 'busy', retry_after_ms: 1235 });
});
