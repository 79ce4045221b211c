/* The inputs of an order, brought to where the workflow finds them. */
import { Readable } from 'node:stream';
import { type Claim, type Json, JSON_MEDIA_TYPE, ownerOfKey } from '../contract/payload.ts';
import type { Accepted, AcceptedInput } from '../contract/prediction.ts';
import { invalidAt } from '../contract/refusal.ts';
import type { Files } from '../files/files.ts';
import { fileAsMedia } from '../media/file-as-media.ts';
import { decodeDataUrl } from '../media/media-upload.ts';
import type { ModelVersion } from '../models/repository.ts';
import type { AddressPolicy } from '../outbound/address-policy.ts';
import { InvalidMediaError, type MediaField } from '../pipelines/index.ts';
import { openClaim } from '../storage/claims.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import { requireAllowedUrl } from './allowed-url.ts';
import type { HeavyWork } from '../records/heavy-work.ts';
import type { Order, OrderInput } from './order.ts';
import { requireNoQuery } from './private.ts';
import type { Staging } from './staging.ts';

export interface UploadLimits {
  readonly maxUploadBytes: number;
  readonly maxPixels: number;
}

export interface InputDependencies {
  readonly store: PayloadStore;
  readonly files: Files;
  readonly heavyWork: HeavyWork;
  readonly addressPolicy: AddressPolicy;
  readonly limits: UploadLimits & { readonly engineInlineLimit: number };
}

/** Media goes to the store; so do the largest other values, until the rest fits into a history. */
export async function storeInputs(
  order: Pick<Order, 'tenant' | 'version' | 'inputs' | 'bodyBytes'>,
  staging: Staging,
  dependencies: InputDependencies,
): Promise<Accepted['input']> {
  const { inputs, bodyBytes } = order;
  const stored: Record<string, AcceptedInput> = {};
  const values: Record<string, Json> = {};
  for (const [name, input] of Object.entries(inputs)) {
    if (input.kind === 'json') values[name] = input.value;
    else stored[name] = await storeInput(name, input, order, staging, dependencies);
  }
  return { ...stored, ...(await storeValues(values, bodyBytes, staging, dependencies)) };
}

async function storeInput(
  name: string,
  input: Exclude<OrderInput, { kind: 'json' }>,
  { tenant, version }: Pick<Order, 'tenant' | 'version'>,
  staging: Staging,
  dependencies: InputDependencies,
): Promise<AcceptedInput> {
  const { addressPolicy, limits } = dependencies;
  const at = `/input/${name}`;
  switch (input.kind) {
    case 'stored':
      return { kind: 'claim', claim: input.claim };
    case 'file': {
      const { files, store } = dependencies;
      const field = mediaFieldOf(version, name);
      const claim = await saying(at, async () => {
        return await fileAsMedia({ tenant, id: input.id }, field, limits, { files, store });
      });
      return { kind: 'claim', claim };
    }
    case 'encoded':
      return { kind: 'claim', claim: await staging.put(name, input.encode(), input.mediaType) };
    case 'url': {
      const { href } = requireAllowedUrl(input.url, addressPolicy, at);
      if (limits.engineInlineLimit === 0) requireNoQuery(href, at);
      return { kind: 'url', source: { url: href, media: mediaFieldOf(version, name).kind } };
    }
    case 'stream':
      return {
        kind: 'claim',
        claim: await storeMediaAt('', name, input.body, version, staging, limits),
      };
    case 'data_url': {
      const bytes = await saying(at, () => decodeDataUrl(input.text, limits.maxUploadBytes));
      const body = Readable.from([bytes]);
      return { kind: 'claim', claim: await storeMediaAt(at, name, body, version, staging, limits) };
    }
  }
}

/** Stores a file that comes for a field of its own; refuses one that the model does not have. */
export async function storeFile(
  name: string,
  body: Readable,
  version: ModelVersion,
  staging: Staging,
  limits: UploadLimits,
): Promise<Claim> {
  return await storeMediaAt(`/input/${name}`, name, body, version, staging, limits);
}

async function storeMediaAt(
  pointer: string,
  name: string,
  body: AsyncIterable<Uint8Array>,
  version: ModelVersion,
  staging: Staging,
  { maxPixels, maxUploadBytes }: UploadLimits,
): Promise<Claim> {
  const field = mediaFieldOf(version, name);
  const limits = { maxPixels, maxBytes: maxUploadBytes };
  return await saying(pointer, async () => await staging.putMedia(name, { body, field, limits }));
}

function mediaFieldOf({ schema }: ModelVersion, name: string): MediaField {
  const field = Object.hasOwn(schema.media, name) ? schema.media[name] : undefined;
  if (field !== undefined) return field;
  const known = Object.keys(schema.media).join(', ') || 'none';
  const detail = `is no file that this model takes; it takes ${known}`;
  throw invalidAt(`/input/${name.slice(0, 100)}`, detail);
}

/** Says where the media came that cannot be accepted; an empty pointer is the whole body. */
async function saying<T>(pointer: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof InvalidMediaError)) throw error;
    throw invalidAt(pointer, error.message);
  }
}

async function storeValues(
  values: Readonly<Record<string, Json>>,
  bodyBytes: number,
  staging: Staging,
  { heavyWork, limits }: InputDependencies,
): Promise<Accepted['input']> {
  const texts = new Map<string, Buffer>();
  for (const [name, value] of Object.entries(values)) {
    await heavyWork.turn(bodyBytes);
    texts.set(name, Buffer.from(JSON.stringify(value)));
  }
  const bySize = Object.entries(values)
    .map(([name, value]) => ({ name, value, bytes: texts.get(name)?.length ?? 0 }))
    .sort((a, b) => b.bytes - a.bytes);
  let inlineBytes = bySize.reduce((sum, { bytes }) => sum + bytes, 0);
  const stored: Record<string, AcceptedInput> = {};
  for (const { name, value, bytes } of bySize) {
    if (inlineBytes <= limits.engineInlineLimit) {
      stored[name] = { kind: 'inline', value };
      continue;
    }
    const body = texts.get(name) ?? Buffer.alloc(0);
    stored[name] = { kind: 'claim', claim: await staging.put(name, body, JSON_MEDIA_TYPE) };
    inlineBytes -= bytes;
  }
  return stored;
}

/** Copies the input of another prediction, which may be deleted while this one runs. */
export async function copyInputs(
  before: Accepted,
  fetched: Readonly<Record<string, Claim>>,
  staging: Staging,
  store: PayloadStore,
): Promise<Accepted['input']> {
  const copied: Record<string, AcceptedInput> = {};
  for (const [field, input] of Object.entries(before.input)) {
    const claim = input.kind === 'claim' ? input.claim : fetched[field];
    copied[field] = input;
    if (input.kind === 'inline' || claim === undefined) continue;
    if (ownerOfKey(claim.key)?.id !== before.id) continue; // a file, which stays where it is
    const body = await openClaim(store, claim);
    copied[field] = { kind: 'claim', claim: await staging.put(field, body, claim.media_type) };
  }
  return copied;
}
