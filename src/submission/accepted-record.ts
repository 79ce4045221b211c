/* The accepted record: what Temporal is to remember of a prediction, out of what was ordered. */
import { randomInt } from 'node:crypto';
import { parseDurationMs } from '../contract/duration.ts';
import { type Accepted, acceptedBytes, MAX_ACCEPTED_BYTES } from '../contract/prediction.ts';
import type { Receivers, RequestedWebhook } from '../contract/receivers.ts';
import type { ModelVersion } from '../models/repository.ts';
import type { Files } from '../files/files.ts';
import type { AddressPolicy } from '../outbound/address-policy.ts';
import type { SecretBox } from '../secrets/secret-box.ts';
import { partOptions, sealOptions } from '../secrets/secret-options.ts';
import { openClaim } from '../storage/claims.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { WebhookEndpoints } from '../webhooks/endpoints.ts';
import { requireAllowedUrl } from './allowed-url.ts';
import { Refusal } from '../contract/refusal.ts';
import type { PredictionMemo } from '../temporal/prediction-memo.ts';
import type { HeavyWork } from '../records/heavy-work.ts';
import { fingerprint } from './idempotency.ts';
import { copyInputs, type InputDependencies, storeInputs } from './inputs.ts';
import type { Order, OrderInputs } from './order.ts';
import type { Staging } from './staging.ts';
import { requirePrivate } from './private.ts';
import { type TimeLimits, timesOf } from './times.ts';

export interface RecordDependencies {
  readonly store: PayloadStore;
  readonly files: Files;
  readonly heavyWork: HeavyWork;
  /** Seals what nobody may see. */
  readonly box: SecretBox;
  readonly endpoints: WebhookEndpoints;
  readonly addressPolicy: AddressPolicy;
  readonly webhookScheduleMs: readonly number[];
  readonly limits: InputDependencies['limits'] & TimeLimits;
}

/** What an order becomes; its inputs are stored. Throws refusals. */
export async function acceptedRecord(
  id: string,
  order: Order,
  staging: Staging,
  dependencies: RecordDependencies,
): Promise<Accepted> {
  const { tenant, traceparent, version, inputs, terms, asSent, asked, idempotencyKey } = order;
  const times = () => timesOf(terms, version.manifest, dependencies.limits, Date.now());
  times(); // refuses wrong times before anything is stored
  if (dependencies.limits.engineInlineLimit === 0) requirePrivate(order, version);
  const receivers = await receiversFor(tenant, terms.webhook, dependencies);
  const { shown, secret } = partOptions(
    terms.options as Accepted['options'],
    version.schema.secretOptions,
  );
  const input = await storeInputs(order, staging, dependencies);
  const { box } = dependencies;
  const sealed = secret === null ? null : sealOptions(box, tenant, secret);
  const secrets = sealed === null ? null : await staging.putSecrets(sealed);
  await dependencies.heavyWork.turn(order.bodyBytes);
  const { name: model, version: number } = version.ref;
  const accepted: Accepted = {
    id,
    tenant,
    model,
    version: number,
    input,
    options: withSeed(shown, version),
    ...(secrets === null ? {} : { secrets }),
    metadata: terms.metadata,
    tags: terms.tags,
    priority: terms.priority,
    ...times(), // computed again, so that a slow upload does not count against the deadline
    ...(receivers === null ? {} : { receivers }),
    ...(asked === undefined ? {} : { asked }),
    ...(traceparent === null ? {} : { traceparent }),
    ...(idempotencyKey === null
      ? {}
      : {
          fingerprint: fingerprintOf(
            asSent,
            mediaHashes(inputs, input),
            secret === null ? null : box,
          ),
        }),
  };
  if (acceptedBytes(accepted) <= MAX_ACCEPTED_BYTES) return accepted;
  const detail = 'options, metadata, tags, webhook and input URLs are too large together';
  throw new Refusal('invalid_input', detail);
}

/** With a box, nobody can find out what was asked by trying. */
function fingerprintOf(
  asSent: unknown,
  media: Readonly<Record<string, string>>,
  box: SecretBox | null,
): string {
  const plain = fingerprint(asSent, media);
  return box === null ? plain : box.sign(Buffer.from(plain)).toString('hex');
}

/**
 * A model that draws lots has an option `seed`. When it is not given, it is drawn here: every attempt has the same.
 * `draw` gives whole numbers from 0.
 */
export function withSeed(
  options: Accepted['options'],
  { schema }: ModelVersion,
  draw: () => number = () => randomInt(MAX_SEED),
): Accepted['options'] {
  const needsSeed = Object.hasOwn(schema.options.shape, SEED) && options[SEED] === undefined;
  return needsSeed ? { ...options, [SEED]: draw() } : options;
}

const SEED = 'seed';
const MAX_SEED = 2 ** 32;

/** The same as before, as another prediction: its input is copied, its receivers are those of now. */
export async function repeatedRecord(
  id: string,
  { accepted: before, ended }: PredictionMemo,
  staging: Staging,
  dependencies: RecordDependencies,
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
    input: await copyInputs(before, ended?.fetched ?? {}, staging, dependencies.store),
    ...(await copiedSecrets(before, staging, dependencies.store)),
    created_at: new Date(nowMs).toISOString(),
    deadline_at: new Date(nowMs + deadlineMs).toISOString(),
    retry_of: before.id,
    ...(receivers === null ? {} : { receivers }),
  };
}

/** Sealed options of another prediction, which may be deleted while this one runs. */
async function copiedSecrets(
  { secrets }: Accepted,
  staging: Staging,
  store: PayloadStore,
): Promise<Pick<Accepted, 'secrets'>> {
  if (secrets === undefined) return {};
  return { secrets: await staging.putSecrets(await openClaim(store, secrets)) };
}

/** The hashes of what came beside the JSON, by field. */
function mediaHashes(
  inputs: OrderInputs,
  stored: Accepted['input'],
): Readonly<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const [name, { kind }] of Object.entries(inputs)) {
    const kept = stored[name];
    const isBeside = kind === 'stream' || kind === 'stored' || kind === 'encoded';
    if (isBeside && kept?.kind === 'claim') hashes[name] = kept.claim.sha256;
  }
  return hashes;
}

/** Whom to tell of it: its own webhook, and the endpoints that its tenant has now. */
export async function receiversFor(
  tenant: string,
  webhook: RequestedWebhook | null,
  { endpoints, addressPolicy, webhookScheduleMs }: RecordDependencies,
): Promise<Receivers | null> {
  const own =
    webhook === null
      ? null
      : { ...webhook, url: requireAllowedUrl(webhook.url, addressPolicy, '/webhook').href };
  const matching = await endpoints.matching(tenant);
  if (own === null && matching.length === 0) return null;
  return { webhook: own, endpoints: matching, schedule_ms: webhookScheduleMs };
}
