/** Any JSON value. */
export type Json =
  string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** Points at bytes in the payload store; what a history holds instead of the bytes. */
export interface Claim {
  /** Where the bytes lie in the payload store. Never shown to clients. */
  readonly key: string;
  readonly bytes: number;
  /** Lowercase hex. */
  readonly sha256: string;
  readonly media_type: string;
}

/** An input field or an output as the engine keeps it: the value itself, or a claim on it. */
export type Stored =
  | { readonly kind: 'inline'; readonly value: Json }
  | { readonly kind: 'claim'; readonly claim: Claim };

/** The media type of a claim whose bytes are one JSON value rather than media. */
export const JSON_MEDIA_TYPE = 'application/json';

const encoder = new TextEncoder();

/** How many bytes `value` takes as JSON. */
export const jsonBytes = (value: Json): number => encoder.encode(JSON.stringify(value)).length;

/** The owner of a payload: a prediction of a tenant. */
export interface Owner {
  readonly tenant: string;
  readonly id: string;
}

/** The tenant whose predictions a key belongs to; null when it belongs to none. */
export function tenantOfKey(key: string): string | null {
  const [folder, tenant] = key.split('/');
  return folder === payloadKeys.predictions && tenant !== undefined ? tenant : null;
}

/** All keys of the payload store are made here, so that nothing is stored where no sweep would look. */
export const payloadKeys = {
  predictions: 'predictions',
  /** Everything that the predictions of a tenant have stored. */
  tenantPredictions: (tenant: string) => `predictions/${tenant}`,
  prediction: ({ tenant, id }: Owner) => `predictions/${tenant}/${id}`,
  input: ({ tenant, id }: Owner, field: string, nonce: string) =>
    `predictions/${tenant}/${id}/input/${field}.${nonce}`,
  /** An input fetched from its URL. */
  fetchedInput: ({ tenant, id }: Owner, field: string, runId: string, attempt: number) =>
    `predictions/${tenant}/${id}/input/${field}.${runId}.${attempt}`,
  /** The run and the attempt are part of the key: neither a zombie nor a reset overwrites. */
  output: ({ tenant, id }: Owner, runId: string, attempt: number) =>
    `predictions/${tenant}/${id}/output.${runId}.${attempt}`,
  tenants: 'tenants',
  /** A small object of a tenant; each change is a new generation. */
  tenantObject: (tenant: string, name: string) => `tenants/${tenant}/${name}`,
  /** What was done of an inference when its attempt stored it for the `count`th time. */
  work: ({ tenant, id }: Owner, runId: string, attempt: number, count: number) =>
    `predictions/${tenant}/${id}/work.${runId}.${attempt}.${count}`,
  tombstones: 'tombstones',
  /** Says that there was a prediction with this id, and nothing else. */
  tombstone: (id: string) => `tombstones/${id}`,
  workers: 'workers',
  worker: (workerId: string) => `workers/${workerId}.json`,
} as const;
