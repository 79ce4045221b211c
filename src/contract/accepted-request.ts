/* A request that was accepted, whatever it asks to infer, and what its record says of it. */
import type { Json } from './payload.ts';
import type { Receivers, RequestedWebhook } from './receivers.ts';

/** What is known of any request that is accepted, whatever it asks to infer. */
export interface AcceptedRequest {
  readonly id: string;
  readonly tenant: string;
  readonly model: string;
  readonly version: number;
  readonly options: Readonly<Record<string, Json>>;
  /** Durations, as a person writes them. */
  readonly queue_ttl: string;
  readonly run_timeout: string;
  readonly deadline: string;
  /** RFC 3339, as all times. */
  readonly created_at: string;
  readonly deadline_at: string;
  /** Chosen by the client, like the tags. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  /** 1 (first) to 5. */
  readonly priority: number;
  /** Absent: at once. */
  readonly start_after?: string;
  /** How long it is kept after its end. */
  readonly result_ttl: string;
  /** Absent: nobody is told when it ends. */
  readonly receivers?: Receivers;
  /** The one whose input this one has. */
  readonly retry_of?: string;
  /** The trace that its request was part of: https://www.w3.org/TR/trace-context/ */
  readonly traceparent?: string;
  /** The fingerprint of a request that came with an Idempotency-Key. */
  readonly fingerprint?: string;
}

/** The members of a record that only repeat what was accepted. */
export interface RequestMembers {
  readonly id: string;
  readonly model: string;
  readonly version: number;
  readonly options: Readonly<Record<string, Json>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  readonly priority: number;
  readonly webhook: RequestedWebhook | null;
  readonly retry_of: string | null;
  readonly start_after: string | null;
  readonly queue_ttl: string;
  readonly run_timeout: string;
  readonly deadline: string;
  readonly created_at: string;
  readonly deadline_at: string;
  readonly urls: {
    readonly get: string;
    readonly output: string;
    readonly cancel: string;
    readonly events: string;
    readonly history: string;
    readonly retry: string;
    readonly webhook: string;
  };
}

/** `url` is where the record is read. */
export const requestMembers = (accepted: AcceptedRequest, url: string): RequestMembers => ({
  id: accepted.id,
  model: accepted.model,
  version: accepted.version,
  options: accepted.options,
  metadata: accepted.metadata,
  tags: accepted.tags,
  priority: accepted.priority,
  webhook: accepted.receivers?.webhook ?? null,
  retry_of: accepted.retry_of ?? null,
  start_after: accepted.start_after ?? null,
  queue_ttl: accepted.queue_ttl,
  run_timeout: accepted.run_timeout,
  deadline: accepted.deadline,
  created_at: accepted.created_at,
  deadline_at: accepted.deadline_at,
  urls: {
    get: url,
    output: `${url}/output`,
    cancel: `${url}/cancel`,
    events: `${url}/events`,
    history: `${url}/history`,
    retry: `${url}/retry`,
    webhook: `${url}/webhook`,
  },
});
