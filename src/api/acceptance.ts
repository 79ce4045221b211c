/*
 * From a request to a workflow: validate, store the payloads, start. What is refused leaves
 * nothing behind; what may have been accepted keeps its payloads.
 */
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { formatDuration } from '../contract/duration.ts';
import { formatModelRef, parseModelRef } from '../contract/model.ts';
import { type Json, jsonBytes, JSON_MEDIA_TYPE, payloadKeys } from '../contract/payload.ts';
import {
  type Accepted,
  acceptedBytes,
  type AcceptedInput,
  MAX_ACCEPTED_BYTES,
} from '../contract/prediction.ts';
import type { Receivers } from '../contract/webhook.ts';
import type { WebhookEndpoints } from '../webhooks/endpoints.ts';
import { decodeDataUrl, storeMedia } from '../media/media-upload.ts';
import type { BrokenVersion, ModelRepository, ModelVersion } from '../model/repository.ts';
import { InvalidMediaError } from '../pipelines/index.ts';
import type { AddressPolicy } from '../outbound/address-policy.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import { EngineUnavailableError } from '../temporal/timely-calls.ts';
import { requireAllowedUrl } from './allowed-url.ts';
import { newId } from './new-id.ts';
import { Problem } from './problems.ts';
import { type ModelRequest, parseBody } from './schemas.ts';
import { TENANT } from './tenant.ts';

export interface AcceptanceDependencies {
  readonly repository: ModelRepository;
  readonly store: PayloadStore;
  readonly engine: PredictionEngine;
  readonly endpoints: WebhookEndpoints;
  readonly addressPolicy: AddressPolicy;
  readonly webhookScheduleMs: readonly number[];
  readonly limits: {
    readonly maxUploadBytes: number;
    readonly maxPixels: number;
    readonly engineInlineLimit: number;
    readonly deadlineMs: number;
    readonly queueTtlMs: number;
    readonly heartbeatTimeoutMs: number;
  };
}

/** An input field that does not come inside the JSON: media as a body of its own, or encoded. */
export type Attachment =
  | { readonly field: string; readonly body: Readable }
  | {
      readonly field: string;
      /** What the field is kept as, once its value in the request has been found valid. */
      readonly encode: () => Uint8Array;
      readonly mediaType: string;
    };

export type Acceptance = ReturnType<typeof createAcceptance>;

export function createAcceptance(dependencies: AcceptanceDependencies) {
  const { repository, store, engine, limits } = dependencies;

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
    async accept(
      version: ModelVersion,
      request: ModelRequest,
      attachment: Attachment | null,
    ): Promise<Accepted> {
      const { schema } = version;
      const isRaw = attachment !== null && 'body' in attachment;
      const given = isRaw ? { ...request.input, [attachment.field]: '' } : request.input;
      parseBody(schema.input, given, ['input']);
      parseBody(schema.options, request.options, ['options']);
      const receivers = await receiversFor(request.webhook, dependencies);
      const id = newId('pred');
      try {
        const input = await storeInput(id, version, request.input, attachment, dependencies);
        const accepted = {
          ...newAccepted(id, version, input, request.options, limits),
          ...(receivers === null ? {} : { receivers }),
        };
        if (acceptedBytes(accepted) > MAX_ACCEPTED_BYTES) {
          throw new Problem(
            'invalid_input',
            'the options, the webhook and the input URLs are too large together',
          );
        }
        await start(accepted, engine, limits.heartbeatTimeoutMs);
        return accepted;
      } catch (error) {
        // A start that was not acknowledged may have happened all the same.
        if (!(error instanceof UnacknowledgedStart)) {
          await store.delete(payloadKeys.prediction(id)).catch(() => {});
          throw error;
        }
        throw error.problem;
      }
    },
  };
}

function brokenProblem({ ref, problems }: BrokenVersion): Problem {
  const label = formatModelRef(ref);
  const detail = `${label} cannot be served until its folder is repaired: ${problems.join('; ')}`;
  return new Problem('model_unavailable', detail);
}

class UnacknowledgedStart extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.message);
    this.problem = problem;
  }
}

async function start(accepted: Accepted, engine: PredictionEngine, heartbeatTimeoutMs: number) {
  try {
    await engine.start({ accepted, heartbeatTimeoutMs });
  } catch (error) {
    if (!(error instanceof EngineUnavailableError)) throw error;
    const { id } = accepted;
    const detail = `it is not certain that ${id} was accepted (${error.message}): look it up, or send the request again`;
    const members = { prediction_id: id };
    throw new UnacknowledgedStart(
      new Problem('engine_unavailable', detail, { cause: error, members }),
    );
  }
}

function newAccepted(
  id: string,
  { ref, manifest }: ModelVersion,
  input: Accepted['input'],
  options: ModelRequest['options'],
  limits: AcceptanceDependencies['limits'],
): Accepted {
  const nowMs = Date.now();
  return {
    id,
    tenant: TENANT,
    model: ref.name,
    version: ref.version,
    input,
    options: options as Accepted['options'],
    queue_ttl: formatDuration(limits.queueTtlMs),
    run_timeout: formatDuration(manifest.timeouts.run_s * 1000),
    deadline: formatDuration(limits.deadlineMs),
    created_at: new Date(nowMs).toISOString(),
    deadline_at: new Date(nowMs + limits.deadlineMs).toISOString(),
  };
}

/** Whom to tell of it: its own webhook, and the endpoints that its tenant has now. */
async function receiversFor(
  webhook: ModelRequest['webhook'],
  { endpoints, addressPolicy, webhookScheduleMs }: AcceptanceDependencies,
): Promise<Receivers | null> {
  const own =
    webhook === null
      ? null
      : { ...webhook, url: requireAllowedUrl(webhook.url, addressPolicy, '/webhook').href };
  const matching = await endpoints.matching(TENANT);
  if (own === null && matching.length === 0) return null;
  return { webhook: own, endpoints: matching, schedule_ms: webhookScheduleMs };
}

/** Media goes to the store; so do the largest other values, until the rest fits into a history. */
async function storeInput(
  id: string,
  { schema }: ModelVersion,
  input: ModelRequest['input'],
  attachment: Attachment | null,
  { store, limits, addressPolicy }: AcceptanceDependencies,
): Promise<Accepted['input']> {
  const nonce = randomBytes(6).toString('hex');
  const raw = attachment !== null && 'body' in attachment ? attachment : null;
  const mediaLimits = { maxPixels: limits.maxPixels, maxBytes: limits.maxUploadBytes };
  const stored: Record<string, AcceptedInput> = {};
  for (const [name, field] of Object.entries(schema.media)) {
    const given = input[name];
    if (raw?.field !== name && isWebUrl(given)) {
      const { href } = requireAllowedUrl(given, addressPolicy, `/input/${name}`);
      stored[name] = { fetch: { url: href, media: field.kind } };
      continue;
    }
    const key = payloadKeys.input(id, name, nonce);
    const body = raw?.field === name ? raw.body : mediaBody(given, name, limits.maxUploadBytes);
    if (body === null) continue; // an optional field that was not given
    const upload = { key, body, field, limits: mediaLimits };
    stored[name] = { claim: await storeMedia(store, upload).catch(nameField(name, raw !== null)) };
  }
  if (attachment !== null && 'encode' in attachment) {
    const { field, encode, mediaType } = attachment;
    const key = payloadKeys.input(id, field, nonce);
    stored[field] = { claim: await store.put(key, encode(), { mediaType }) };
  }
  const values = Object.entries(input)
    .filter(([name]) => !(name in stored))
    .map(([name, value]) => ({ name, value: value as Json, bytes: jsonBytes(value as Json) }))
    .sort((a, b) => b.bytes - a.bytes);
  let inlineBytes = values.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const { name, value, bytes } of values) {
    if (inlineBytes <= limits.engineInlineLimit) {
      stored[name] = { inline: value };
      continue;
    }
    const key = payloadKeys.input(id, name, nonce);
    const body = Buffer.from(JSON.stringify(value));
    stored[name] = { claim: await store.put(key, body, { mediaType: JSON_MEDIA_TYPE }) };
    inlineBytes -= bytes;
  }
  return stored;
}

const isWebUrl = (value: unknown): value is string =>
  typeof value === 'string' && /^https?:/i.test(value);

/** Its schema has made sure that the value is a string. */
function mediaBody(value: unknown, name: string, maxBytes: number): Readable | null {
  if (value === undefined) return null;
  try {
    return Readable.from([decodeDataUrl(value as string, maxBytes)]);
  } catch (error) {
    return nameField(name, false)(error);
  }
}

/** Says which field the media was for. */
const nameField =
  (name: string, isRaw: boolean) =>
  (error: unknown): never => {
    if (!(error instanceof InvalidMediaError)) throw error;
    const pointer = isRaw ? '' : `/input/${name}`;
    const errors = [{ pointer, detail: error.message }];
    throw new Problem('invalid_input', `${isRaw ? 'body' : pointer}: ${error.message}`, { errors });
  };
