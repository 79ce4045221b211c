/* The input of a request, brought to where the workflow finds it. */
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  type Claim,
  type Json,
  jsonBytes,
  JSON_MEDIA_TYPE,
  type Owner,
  payloadKeys,
} from '../contract/payload.ts';
import type { Accepted, AcceptedInput } from '../contract/prediction.ts';
import { decodeDataUrl, storeMedia } from '../media/media-upload.ts';
import type { ModelVersion } from '../models/repository.ts';
import type { AddressPolicy } from '../outbound/address-policy.ts';
import { InvalidMediaError } from '../pipelines/index.ts';
import { openClaim } from '../storage/claims.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import { requireAllowedUrl } from './allowed-url.ts';
import { invalidAt, Refusal } from '../contract/refusal.ts';
import type { NormalRequest } from './request-schema.ts';

/** An input field that does not come inside the JSON: media as a body of its own, or encoded. */
export type Attachment =
  | { readonly field: string; readonly body: Readable }
  | {
      readonly field: string;
      /** What the field is kept as, once its value in the request has been found valid. */
      readonly encode: () => Uint8Array;
      readonly mediaType: string;
    }
  /** Media that lies in the store already, by field. */
  | { readonly claims: Readonly<Record<string, Claim>> };

export interface StoreInputDependencies {
  readonly store: PayloadStore;
  readonly addressPolicy: AddressPolicy;
  readonly limits: {
    readonly maxUploadBytes: number;
    readonly maxPixels: number;
    readonly engineInlineLimit: number;
  };
  readonly onKey: (key: string) => void;
}

/**
 * Media goes to the store; so do the largest other values, until the rest fits into a history. Each key
 * is told to `onKey` before anything is written there.
 */
export async function storeInput(
  owner: Owner,
  { schema }: ModelVersion,
  input: NormalRequest['input'],
  attachment: Attachment | null,
  { store, limits, addressPolicy, onKey }: StoreInputDependencies,
): Promise<Accepted['input']> {
  const nonce = randomBytes(6).toString('hex');
  const keyOf = (field: string) => {
    const key = payloadKeys.input(owner, field, nonce);
    onKey(key);
    return key;
  };
  const raw = attachment !== null && 'body' in attachment ? attachment : null;
  const mediaLimits = { maxPixels: limits.maxPixels, maxBytes: limits.maxUploadBytes };
  const stored: Record<string, AcceptedInput> = Object.fromEntries(
    Object.entries(claimsIn(attachment)).map(([name, claim]) => [name, { claim }]),
  );
  for (const [name, field] of Object.entries(schema.media)) {
    if (name in stored) continue;
    const given = input[name];
    if (raw?.field !== name && isWebUrl(given)) {
      const { href } = requireAllowedUrl(given, addressPolicy, `/input/${name}`);
      stored[name] = { fetch: { url: href, media: field.kind } };
      continue;
    }
    const key = keyOf(name);
    const body = raw?.field === name ? raw.body : mediaBody(given, name, limits.maxUploadBytes);
    if (body === null) continue; // an optional field that was not given
    const upload = { key, body, field, limits: mediaLimits };
    stored[name] = { claim: await storeMedia(store, upload).catch(nameField(name, raw !== null)) };
  }
  if (attachment !== null && 'encode' in attachment) {
    const { field, encode, mediaType } = attachment;
    const key = keyOf(field);
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
    const key = keyOf(name);
    const body = Buffer.from(JSON.stringify(value));
    stored[name] = { claim: await store.put(key, body, { mediaType: JSON_MEDIA_TYPE }) };
    inlineBytes -= bytes;
  }
  return stored;
}

export const claimsIn = (attachment: Attachment | null): Readonly<Record<string, Claim>> =>
  attachment !== null && 'claims' in attachment ? attachment.claims : {};

/** Stores the media of one field; throws a problem when the model has no such field. */
export async function storeFile(
  owner: Owner,
  { schema }: ModelVersion,
  name: string,
  body: Readable,
  { store, limits, onKey }: Omit<StoreInputDependencies, 'addressPolicy'>,
): Promise<Claim> {
  const field = Object.hasOwn(schema.media, name) ? schema.media[name] : undefined;
  if (field === undefined) {
    const known = Object.keys(schema.media).join(', ') || 'none';
    const detail = `is no file that this model takes; it takes ${known}`;
    throw invalidAt(`/input/${name.slice(0, 100)}`, detail);
  }
  const key = payloadKeys.input(owner, name, randomBytes(6).toString('hex'));
  onKey(key);
  const mediaLimits = { maxPixels: limits.maxPixels, maxBytes: limits.maxUploadBytes };
  return await storeMedia(store, { key, body, field, limits: mediaLimits }).catch(
    nameField(name, false),
  );
}

const isWebUrl = (value: unknown): value is string =>
  typeof value === 'string' && /^https?:/i.test(value);

/** The input of another prediction, as one's own: it may be deleted while this one runs. */
export async function copyInput(
  owner: Owner,
  before: Accepted,
  fetched: Readonly<Record<string, Claim>>,
  { store, onKey }: Pick<StoreInputDependencies, 'store' | 'onKey'>,
): Promise<Accepted['input']> {
  const nonce = randomBytes(6).toString('hex');
  const copied: Record<string, AcceptedInput> = {};
  for (const [field, input] of Object.entries(before.input)) {
    const claim = 'claim' in input ? input.claim : fetched[field];
    copied[field] = input;
    if ('inline' in input || claim === undefined) continue;
    const key = payloadKeys.input(owner, field, nonce);
    onKey(key);
    const mediaType = claim.media_type;
    copied[field] = {
      claim: await store.put(key, await openClaim(store, claim), { mediaType }),
    };
  }
  return copied;
}

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
    throw new Refusal('invalid_input', `${isRaw ? 'body' : pointer}: ${error.message}`, { errors });
  };
