/*
 * Terminology
 *
 * webhook       the URL that one request names for itself.
 * endpoint      a receiver that a tenant has registered for all its predictions and batches; `whe_…`.
 * delivery      telling one receiver of one event: a workflow. Its id is `<id>.webhook` or
 *               `<id>.webhook.<endpoint id>`, with the id of the prediction or batch.
 * attempt       one POST of a delivery.
 */
import { SEARCH_ATTRIBUTES } from './search-attributes.ts';
import type { AcceptedBatch, EndedBatch } from './batch.ts';
import type { Accepted, Ended } from './prediction.ts';
import type { RecordEvent } from './receivers.ts';
import { DELIVERY_QUEUE, DELIVERY_TASK_TIMEOUT } from './task-queues.ts';

/** A prediction or a batch that has ended. */
export type Finished =
  | { readonly type: 'prediction'; readonly accepted: Accepted; readonly ended: Ended }
  | { readonly type: 'batch'; readonly accepted: AcceptedBatch; readonly ended: EndedBatch };

const eventOf = ({ type, ended }: Finished): RecordEvent => `${type}.${ended.status}`;

/** A receiver of one event; the URL and the secret of an endpoint are looked up when it is told. */
export type Receiver =
  | { readonly type: 'webhook'; readonly url: string }
  | { readonly type: 'endpoint'; readonly id: string; readonly host: string };

/** The receivers that want to be told how it ended. */
export function receiversOf(finished: Finished): readonly Receiver[] {
  const { receivers } = finished.accepted;
  if (receivers === undefined) return [];
  const { webhook, endpoints } = receivers;
  const event = eventOf(finished);
  const own =
    webhook?.events.includes(event) === true
      ? [{ type: 'webhook' as const, url: webhook.url }]
      : [];
  const matching = endpoints.filter(({ events }) => events.includes(event));
  return [...own, ...matching.map(({ id, host }) => ({ type: 'endpoint' as const, id, host }))];
}

/** The id of a delivery's workflow. */
export const deliveryId = (ofId: string, receiver: Receiver): string =>
  receiver.type === 'webhook' ? `${ofId}.webhook` : `${ofId}.webhook.${receiver.id}`;

/** What an event is about. */
type EventSubject =
  | Finished
  /** A test of an endpoint. */
  | { readonly type: 'ping' };

/** An event: the same in every attempt, for every receiver. */
export interface DeliveryEvent {
  /** The `webhook-id` of Standard Webhooks: a receiver knows by it what it has seen before. */
  readonly id: string;
  readonly type: RecordEvent | 'ping';
  /** RFC 3339. */
  readonly timestamp: string;
  readonly subject: EventSubject;
}

/** The event of an end. Its id has no full stop, because full stops separate what is signed. */
export const endEvent = (finished: Finished): DeliveryEvent => ({
  id: finished.accepted.id.replace(/^[a-z]+_/, 'evt_'),
  type: eventOf(finished),
  timestamp: finished.ended.completed_at,
  subject: finished,
});

/** The argument of a delivery's workflow. */
export interface DeliveryRequest {
  readonly id: string;
  readonly tenant: string;
  readonly event: DeliveryEvent;
  readonly receiver: Receiver;
  readonly schedule_ms: readonly number[];
  /** The attempts of earlier runs, which a redelivery carries along. */
  readonly earlier: readonly DeliveryAttempt[];
}

/** One POST and its result. */
export interface DeliveryAttempt {
  /** From 1, counted over redeliveries. */
  readonly number: number;
  /** When it was sent, RFC 3339. */
  readonly at: string;
  /** The receiver's scheme, host and port. Null: they could not be found out. */
  readonly origin: string | null;
  /** Null: there was no answer. */
  readonly status: number | null;
  /** Null: it was delivered. */
  readonly error: { readonly code: DeliveryErrorCode; readonly message: string } | null;
  readonly duration_ms: number;
  /** The first 2 KB of the answer, as text. */
  readonly answer: string | null;
}

/** Why an attempt failed. The codes are too coarse to explore somebody's network with. */
export const DELIVERY_ERRORS = [
  'forbidden',
  'unreachable',
  'timeout',
  'tls_failed',
  'bad_answer',
  /** It answered with a redirect, which is not followed. */
  'redirected',
  /** It answered with another status than 2xx. */
  'refused',
  /** Buzzer itself failed. */
  'internal',
] as const;

type DeliveryErrorCode = (typeof DELIVERY_ERRORS)[number];

/** Why a delivery waits beyond its schedule, or ended without being delivered. */
export const DELIVERY_REASONS = [
  /** Other deliveries to the same origin come first. */
  'origin_busy',
  /** Every attempt of the schedule failed. */
  'exhausted',
  /** The receiver answered 410. */
  'receiver_gone',
  'endpoint_deleted',
  'endpoint_disabled',
  /** Somebody ended its workflow. */
  'terminated',
  /** The workflow of what has ended was ended from outside before it could start the delivery. */
  'never_started',
] as const;

export type DeliveryReason = (typeof DELIVERY_REASONS)[number];

/** The state of a delivery: the memo key `delivery` of its workflow, written with each attempt. */
export interface DeliveryState {
  readonly event: { readonly id: string; readonly type: DeliveryEvent['type'] };
  /** What it is told of; the other is null, and both are for a ping. */
  readonly prediction: string | null;
  readonly batch: string | null;
  readonly endpoint: string | null;
  readonly status: 'pending' | 'delivered' | 'failed' | 'gone';
  readonly reason: DeliveryReason | null;
  readonly attempts: readonly DeliveryAttempt[];
  readonly next_attempt_at: string | null;
  readonly created_at: string;
}

/** A delivery before its first attempt. */
export const newDelivery = (
  { event: { id, type, subject }, receiver, earlier }: DeliveryRequest,
  createdAt: string,
): DeliveryState => ({
  event: { id, type },
  prediction: subject.type === 'prediction' ? subject.accepted.id : null,
  batch: subject.type === 'batch' ? subject.accepted.id : null,
  endpoint: receiver.type === 'endpoint' ? receiver.id : null,
  status: 'pending',
  reason: null,
  attempts: earlier,
  next_attempt_at: null,
  created_at: createdAt,
});

/** The result of the deliver activity. */
export type DeliverResult =
  | {
      readonly outcome: 'sent';
      readonly attempt: Omit<DeliveryAttempt, 'number'>;
      /** What the receiver asked for in `Retry-After`. */
      readonly retry_after_ms: number | null;
    }
  /** The endpoint is not there any more, or disabled. */
  | { readonly outcome: 'gone'; readonly reason: DeliveryReason }
  /** The receiver has no free turn: nothing was sent. Try again after so many milliseconds. */
  | { readonly outcome: 'busy'; readonly retry_after_ms: number };

/** The argument of the deliver activity. */
export type DeliverRequest = Pick<DeliveryRequest, 'tenant' | 'event' | 'receiver'>;

export const MEMO_DELIVERY = 'delivery';
export const DELIVERY_WORKFLOW = 'webhookDeliveryWorkflow';

/** The summary of a delivery in the Web UI: `→ hooks.example.com, attempt 3`. */
export function deliverySummary({ receiver }: DeliveryRequest, attempt: number): string {
  const host = receiver.type === 'webhook' ? hostOf(receiver.url) : receiver.host;
  return `→ ${host.slice(0, MAX_HOST_CHARS)}, attempt ${attempt}`;
}

const MAX_HOST_CHARS = 150;

/** The host of a URL that was checked. (Workflows have no URL class.) */
const hostOf = (url: string): string => /^https?:\/\/([^/?#]+)/.exec(url)?.[1] ?? url;

/** How a delivery's workflow is started, whoever does it. */
export const deliveryStart = (request: DeliveryRequest) =>
  ({
    workflowId: request.id,
    taskQueue: DELIVERY_QUEUE,
    args: [request],
    memo: { [MEMO_DELIVERY]: newDelivery(request, new Date().toISOString()) },
    searchAttributes: {
      [SEARCH_ATTRIBUTES.tenant.name]: [request.tenant],
      ...(request.receiver.type === 'endpoint'
        ? { [SEARCH_ATTRIBUTES.endpoint.name]: [request.receiver.id] }
        : {}),
    },
    staticSummary: deliverySummary(request, (request.earlier.at(-1)?.number ?? 0) + 1),
    workflowTaskTimeout: DELIVERY_TASK_TIMEOUT,
  }) as const;

/** How many attempts a memo holds; older ones are dropped. */
export const MAX_KEPT_ATTEMPTS = 20;
