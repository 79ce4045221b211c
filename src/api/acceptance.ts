/*
 * From a request to a workflow: validate, store the payloads, start. What is refused leaves
 * nothing behind; what may have been accepted keeps its payloads. The same request with the same
 * Idempotency-Key is the same prediction: its id is made of the key, and Temporal starts an id once.
 */
import type { Readable } from 'node:stream';
import { parseDurationMs } from '../contract/duration.ts';
import { formatModelRef, parseModelRef } from '../contract/model.ts';
import { MEMO_ACCEPTED } from '../contract/messages.ts';
import type { Claim } from '../contract/payload.ts';
import { type Accepted, acceptedBytes, MAX_ACCEPTED_BYTES } from '../contract/prediction.ts';
import type { Receivers, RequestedWebhook } from '../contract/webhook.ts';
import type { BrokenVersion, ModelRepository, ModelVersion } from '../model/repository.ts';
import type { AddressPolicy } from '../outbound/address-policy.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import { AlreadyStartedError, type PredictionEngine } from '../temporal/prediction-engine.ts';
import { EngineUnavailableError } from '../temporal/timely-calls.ts';
import type { WebhookEndpoints } from '../webhooks/endpoints.ts';
import { requireAllowedUrl } from './allowed-url.ts';
import { fingerprint, idempotentId } from './idempotency.ts';
import { newId } from './new-id.ts';
import { Problem } from './problems.ts';
import type { QuotaKeeper } from './quotas.ts';
import type { Found } from './prediction-reader.ts';
import { type ModelRequest, parseBody } from './schemas.ts';
import {
  type Attachment,
  claimsIn,
  copyInput,
  storeFile,
  storeInput,
  type StoreInputDependencies,
} from './store-input.ts';
import { type TermLimits, termsOf } from './terms.ts';
import { refuseRemoved } from './removed.ts';

export interface AcceptanceDependencies {
  readonly repository: ModelRepository;
  readonly store: PayloadStore;
  readonly engine: PredictionEngine;
  readonly quotas: QuotaKeeper;
  readonly endpoints: WebhookEndpoints;
  readonly addressPolicy: AddressPolicy;
  readonly webhookScheduleMs: readonly number[];
  readonly limits: StoreInputDependencies['limits'] &
    TermLimits & { readonly heartbeatTimeoutMs: number };
}

/** What is known of a request for a prediction before its body is read. */
export interface OrderHead {
  readonly tenant: string;
  /** The trace that it is part of (W3C), for everything that it causes. */
  readonly traceparent: string | null;
  readonly version: ModelVersion;
  /** Null: it is a new prediction, whatever was asked before. */
  readonly idempotencyKey: string | null;
}

/** Stores a file that came with a request. */
export type StoreFile = (field: string, body: Readable) => Promise<Claim>;

/** One request for a prediction. */
export interface PredictionOrder extends OrderHead {
  readonly request: ModelRequest;
  /** All of it but media, before any of our defaults: what a repetition is compared by. */
  readonly asSent: unknown;
  readonly attachment: Attachment | null;
}

export interface AcceptedOrder {
  readonly accepted: Accepted;
  /** It was accepted before, with the same key. */
  readonly isReplayed: boolean;
}

export type Acceptance = ReturnType<typeof createAcceptance>;

export function createAcceptance(dependencies: AcceptanceDependencies) {
  const { repository } = dependencies;

  return {
    /** The version a request means: `ocr` or `ocr@1`; throws the problem `model_not_found`. */
    resolve(text: string): ModelVersion {
      const ref = parseModelRef(text);
      const version = ref === null ? undefined : repository.find(ref.name, ref.version);
      if (version !== undefined) return version;
      const broken = ref === null ? undefined : repository.findBroken(ref.name, ref.version);
      if (broken !== undefined) throw brokenProblem(broken);
      const known = repository.all().map((each) => formatModelRef(each.ref));
      throw new Problem(
        'model_not_found',
        `there is no model ${text.slice(0, 100)}; served: ${known.join(', ')}`,
      );
    },

    /** Accepts a prediction; when this resolves, Temporal has it. */
    async accept(order: PredictionOrder): Promise<AcceptedOrder> {
      requireValid(order);
      return await place(order, dependencies, async (id, onKey) => {
        return await prepare(id, order, dependencies, onKey);
      });
    },

    /** The same for one whose body has to be stored while it is read: `read` makes of it the rest. */
    async acceptUpload(
      head: OrderHead,
      read: (store: StoreFile) => Promise<PredictionOrder>,
    ): Promise<AcceptedOrder> {
      return await place(head, dependencies, async (id, onKey) => {
        const to = { ...dependencies, onKey };
        const order = await read(
          async (field, body) => await storeFile(id, head.version, field, body, to),
        );
        requireValid(order);
        return await prepare(id, order, dependencies, onKey);
      });
    },

    /** The same input, options and terms once more, on the same version, as a new prediction. */
    async retry(before: Found, idempotencyKey: string | null): Promise<AcceptedOrder> {
      const { tenant, model, version: number } = before.accepted;
      const version = this.resolve(formatModelRef({ name: model, version: number })); // nobody would serve it otherwise
      return await place({ tenant, version, idempotencyKey }, dependencies, async (id, onKey) => {
        const accepted = await again(id, before, dependencies, onKey);
        if (idempotencyKey === null) return accepted;
        return { ...accepted, fingerprint: fingerprint(['retry', before.accepted.id], {}) };
      });
    },
  };
}

/** Throws a problem unless its model takes the input and the options. */
function requireValid({ version: { schema }, request, attachment }: PredictionOrder): void {
  const separate =
    attachment !== null && 'body' in attachment
      ? [attachment.field]
      : Object.keys(claimsIn(attachment));
  const twice = separate.find((field) => Object.hasOwn(request.input, field));
  if (twice !== undefined) {
    const [pointer, detail] = [`/input/${twice}`, 'comes twice: beside the JSON and in it'];
    throw new Problem('invalid_input', `${pointer} ${detail}`, { errors: [{ pointer, detail }] });
  }
  const given = Object.fromEntries(separate.map((field) => [field, '']));
  parseBody(schema.input, { ...request.input, ...given }, ['input']);
  parseBody(schema.options, request.options, ['options']);
}

/** Makes room for it. A repetition of what is there needs none. */
async function admit(
  admission: Pick<Accepted, 'id' | 'tenant' | 'model' | 'version'>,
  mayBeThere: boolean,
  { quotas, engine }: AcceptanceDependencies,
): Promise<void> {
  try {
    await quotas.admit(admission);
  } catch (error) {
    const isThere = async () => await engine.describe(admission.id).then(() => true);
    if (!mayBeThere || !(await isThere().catch(() => false))) throw error;
  }
}

/** Has a prediction prepared and starts it; what it stored is kept only if it was started. */
async function place(
  { tenant, version, idempotencyKey }: Pick<OrderHead, 'tenant' | 'version' | 'idempotencyKey'>,
  dependencies: AcceptanceDependencies,
  prepare: (id: string, onKey: (key: string) => void) => Promise<Accepted>,
): Promise<AcceptedOrder> {
  const { store, quotas } = dependencies;
  const id = idempotencyKey === null ? newId('pred') : idempotentId(tenant, idempotencyKey);
  if (idempotencyKey !== null) await refuseRemoved(id, tenant, store);
  const { name: model, version: number } = version.ref;
  const admission = { id, tenant, model, version: number };
  await admit(admission, idempotencyKey !== null, dependencies);
  const keys: string[] = []; // of this upload: another's, with the same id, is not ours to delete
  try {
    const accepted = await prepare(id, (key) => keys.push(key));
    if (idempotencyKey !== null) await refuseRemoved(id, tenant, store); // while it was uploaded
    const started = await start(accepted, dependencies);
    if (started.isReplayed) {
      quotas.forget(id);
      await deleteAll(keys, store);
    }
    return started;
  } catch (error) {
    // A start that was not acknowledged may have happened all the same.
    if (error instanceof UnacknowledgedStart) throw error.problem;
    quotas.forget(id);
    await deleteAll(keys, store);
    throw error;
  }
}

async function again(
  id: string,
  { accepted: before, ended }: Found,
  dependencies: AcceptanceDependencies,
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
    input: await copyInput(id, before, ended?.fetched ?? {}, { ...dependencies, onKey }),
    created_at: new Date(nowMs).toISOString(),
    deadline_at: new Date(nowMs + deadlineMs).toISOString(),
    retry_of: before.id,
    ...(receivers === null ? {} : { receivers }),
  };
}

async function deleteAll(keys: readonly string[], store: PayloadStore): Promise<void> {
  await Promise.all(keys.map(async (key) => await store.delete(key))).catch(() => {});
}

function brokenProblem({ ref, problems }: BrokenVersion): Problem {
  const label = formatModelRef(ref);
  const detail = `${label} cannot be served until its folder is repaired: ${problems.join('; ')}`;
  return new Problem('model_unavailable', detail);
}

/** Stores the input, and makes of it all what Temporal is to remember. */
async function prepare(
  id: string,
  { tenant, traceparent, version, request, asSent, attachment, idempotencyKey }: PredictionOrder,
  dependencies: AcceptanceDependencies,
  onKey: (key: string) => void,
): Promise<Accepted> {
  const { metadata, tags, priority } = request;
  const terms = () => termsOf(request, version.manifest, dependencies.limits, Date.now());
  terms(); // what is wrong with them is said before anything is stored
  const receivers = await receiversFor(tenant, request.webhook, dependencies);
  const to = { ...dependencies, onKey };
  const input = await storeInput(id, version, request.input, attachment, to);
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
  throw new Problem('invalid_input', detail);
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

class UnacknowledgedStart extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.message);
    this.problem = problem;
  }
}

/** Starts it, or finds that it was started before. */
async function start(
  accepted: Accepted,
  { engine, store, limits }: AcceptanceDependencies,
): Promise<AcceptedOrder> {
  const { id } = accepted;
  try {
    await engine.start({ accepted, heartbeatTimeoutMs: limits.heartbeatTimeoutMs });
    return { accepted, isReplayed: false };
  } catch (error) {
    if (error instanceof AlreadyStartedError) return await replayed(accepted, { engine, store });
    if (!(error instanceof EngineUnavailableError)) throw error;
    const detail = `it is not certain that ${id} was accepted (${error.message}): look it up, or send the request again`;
    const members = { prediction_id: id };
    throw new UnacknowledgedStart(
      new Problem('engine_unavailable', detail, { cause: error, members }),
    );
  }
}

async function replayed(
  accepted: Accepted,
  { engine, store }: Pick<AcceptanceDependencies, 'engine' | 'store'>,
): Promise<AcceptedOrder> {
  const { id } = accepted;
  const { memo } = await engine.describe(id).catch(async (error: unknown) => {
    await refuseRemoved(id, accepted.tenant, store); // it was there a moment ago
    throw error;
  });
  const before = memo?.[MEMO_ACCEPTED] as Accepted | undefined;
  if (before !== undefined && before.fingerprint === accepted.fingerprint) {
    return { accepted: before, isReplayed: true };
  }
  const detail = `${id} was asked for with this Idempotency-Key and another request: take a new key for a new request`;
  throw new Problem('idempotency_mismatch', detail, { members: { prediction_id: id } });
}

/** Whom to tell of it: its own webhook, and the endpoints that its tenant has now. */
async function receiversFor(
  tenant: string,
  webhook: RequestedWebhook | null,
  { endpoints, addressPolicy, webhookScheduleMs }: AcceptanceDependencies,
): Promise<Receivers | null> {
  const own =
    webhook === null
      ? null
      : { ...webhook, url: requireAllowedUrl(webhook.url, addressPolicy, '/webhook').href };
  const matching = await endpoints.matching(tenant);
  if (own === null && matching.length === 0) return null;
  return { webhook: own, endpoints: matching, schedule_ms: webhookScheduleMs };
}
