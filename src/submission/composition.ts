/* What Temporal is to remember of a prediction, out of what was asked for. */
import { parseDurationMs } from '../contract/duration.ts';
import { type Accepted, acceptedBytes, MAX_ACCEPTED_BYTES } from '../contract/prediction.ts';
import type { Receivers, RequestedWebhook } from '../contract/receivers.ts';
import type { AddressPolicy } from '../outbound/address-policy.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { WebhookEndpoints } from '../webhooks/endpoints.ts';
import { requireAllowedUrl } from './allowed-url.ts';
import { fingerprint } from './idempotency.ts';
import type { PredictionOrder } from './order.ts';
import { invalidAt, Refusal } from '../contract/refusal.ts';
import type { Halves } from '../temporal/halves.ts';
import { parseBody } from './parse.ts';
import {
  type Attachment,
  claimsIn,
  copyInput,
  storeInput,
  type StoreInputDependencies,
} from './store-input.ts';
import { type TermLimits, termsOf } from './terms.ts';

export interface CompositionDependencies {
  readonly store: PayloadStore;
  readonly endpoints: WebhookEndpoints;
  readonly addressPolicy: AddressPolicy;
  readonly webhookScheduleMs: readonly number[];
  readonly limits: StoreInputDependencies['limits'] & TermLimits;
}

/** Throws a problem unless its model takes the input and the options. */
export function requireValid({ version: { schema }, request, attachment }: PredictionOrder): void {
  const separate =
    attachment !== null && 'body' in attachment
      ? [attachment.field]
      : Object.keys(claimsIn(attachment));
  const twice = separate.find((field) => Object.hasOwn(request.input, field));
  if (twice !== undefined) {
    throw invalidAt(`/input/${twice}`, 'comes twice: beside the JSON and in it');
  }
  const given = Object.fromEntries(separate.map((field) => [field, '']));
  const isLarge = (path: readonly string[]) => schema.isLarge(path.slice(1));
  parseBody(schema.input, { ...request.input, ...given }, ['input'], isLarge);
  parseBody(schema.options, request.options, ['options']);
}

/** Stores the input; each key is told to `onKey` before anything is written there. */
export async function compose(
  id: string,
  { tenant, traceparent, version, request, asSent, attachment, idempotencyKey }: PredictionOrder,
  dependencies: CompositionDependencies,
  onKey: (key: string) => void,
): Promise<Accepted> {
  const { metadata, tags, priority } = request;
  const terms = () => termsOf(request, version.manifest, dependencies.limits, Date.now());
  terms(); // what is wrong with them is said before anything is stored
  const receivers = await receiversFor(tenant, request.webhook, dependencies);
  const to = { ...dependencies, onKey };
  const input = await storeInput({ tenant, id }, version, request.input, attachment, to);
  const { name: model, version: number } = version.ref;
  const accepted: Accepted = {
    id,
    tenant,
    model,
    version: number,
    input,
    options: request.options as Accepted['options'],
    metadata,
    tags,
    priority,
    ...terms(), // a slow upload is not the deadline's
    ...(receivers === null ? {} : { receivers }),
    ...(traceparent === null ? {} : { traceparent }),
    ...(idempotencyKey === null
      ? {}
      : { fingerprint: fingerprint(asSent, uploadHashes(attachment, input)) }),
  };
  if (acceptedBytes(accepted) <= MAX_ACCEPTED_BYTES) return accepted;
  const detail = 'options, metadata, tags, webhook and input URLs are too large together';
  throw new Refusal('invalid_input', detail);
}

/** The same as before, as another prediction: its input is copied, its receivers are those of now. */
export async function composeAgain(
  id: string,
  { accepted: before, ended }: Halves,
  dependencies: CompositionDependencies,
  onKey: (key: string) => void,
): Promise<Accepted> {
  const {
    start_after: _past,
    fingerprint: _other,
    receivers: _then,
    traceparent: _trace,
    ...same
  } = before;
  const webhook = before.receivers?.webhook ?? null;
  const receivers = await receiversFor(before.tenant, webhook, dependencies);
  const nowMs = Date.now();
  const deadlineMs = parseDurationMs(before.deadline) ?? dependencies.limits.deadlineMs;
  return {
    ...same,
    id,
    input: await copyInput({ tenant: before.tenant, id }, before, ended?.fetched ?? {}, {
      ...dependencies,
      onKey,
    }),
    created_at: new Date(nowMs).toISOString(),
    deadline_at: new Date(nowMs + deadlineMs).toISOString(),
    retry_of: before.id,
    ...(receivers === null ? {} : { receivers }),
  };
}

/** The hash of what came beside the JSON. */
function uploadHashes(
  attachment: Attachment | null,
  input: Accepted['input'],
): Readonly<Record<string, string>> {
  if (attachment === null) return {};
  if ('claims' in attachment) {
    const claims = Object.entries(attachment.claims);
    return Object.fromEntries(claims.map(([field, { sha256 }]) => [field, sha256]));
  }
  const stored = input[attachment.field];
  return stored !== undefined && 'claim' in stored
    ? { [attachment.field]: stored.claim.sha256 }
    : {};
}

/** Whom to tell of it: its own webhook, and the endpoints that its tenant has now. */
async function receiversFor(
  tenant: string,
  webhook: RequestedWebhook | null,
  { endpoints, addressPolicy, webhookScheduleMs }: CompositionDependencies,
): Promise<Receivers | null> {
  const own =
    webhook === null
      ? null
      : { ...webhook, url: requireAllowedUrl(webhook.url, addressPolicy, '/webhook').href };
  const matching = await endpoints.matching(tenant);
  if (own === null && matching.length === 0) return null;
  return { webhook: own, endpoints: matching, schedule_ms: webhookScheduleMs };
}
