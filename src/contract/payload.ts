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
export type Stored = { readonly inline: Json } | { readonly claim: Claim };

/** The media type of a claim whose bytes are one JSON value rather than media. */
export const JSON_MEDIA_TYPE = 'application/json';

const encoder = new TextEncoder();

/** How many bytes `value` takes as JSON. */
export const jsonBytes = (value: Json): number => encoder.encode(JSON.stringify(value)).length;

/** Payload store keys, all in one place, so that nothing is ever stored where no sweep would look. */
export const payloadKeys = {
  predictions: 'predictions',
  prediction: (id: string) => `predictions/${id}`,
  input: (id: string, field: string, nonce: string) => `predictions/${id}/input/${field}.${nonce}`,
  /** An input fetched from its URL. */
  fetchedInput: (id: string, field: string, runId: string, attempt: number) =>
    `predictions/${id}/input/${field}.${runId}.${attempt}`,
  /** The run and the attempt are part of the key: neither a zombie nor a reset overwrites. */
  output: (id: string, runId: string, attempt: number) =>
    `predictions/${id}/output.${runId}.${attempt}`,
  /** A small object of a tenant; each change is a new generation. */
  tenantObject: (tenant: string, name: string) => `tenants/${tenant}/${name}`,
  tombstones: 'tombstones',
  /** That there was a prediction of this id, and no more. */
  tombstone: (id: string) => `tombstones/${id}`,
  workers: 'workers',
  worker: (workerId: string) => `workers/${workerId}.json`,
} as const;
