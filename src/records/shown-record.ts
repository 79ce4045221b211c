/*
 * How much of a record is shown: large values as references in lists and events, none to whoever may
 * not read.
 */
import { createHash } from 'node:crypto';
import { type Json, JSON_MEDIA_TYPE } from '../contract/payload.ts';
import type { InputReference, Prediction } from '../contract/prediction.ts';

/** Larger values are shown as references, because they would fill a terminal. */
const MAX_SHOWN_BYTES = 256;

export const INCLUDABLE = ['input', 'output'] as const;
/** The members whose large values the client wants to see. */
export type Included = readonly (typeof INCLUDABLE)[number][];

/** The record with each input value and the output as `{url, bytes, …}` when it is large. */
export function abridged(record: Prediction, included: Included): Prediction {
  const input = included.includes('input') ? record.input : shownInput(record);
  const base = { ...record, input };
  if (base.status !== 'succeeded' || included.includes('output')) return base;
  const url = base.urls.output;
  if (base.output_url === null && sizeOf(base.output) <= MAX_SHOWN_BYTES) return base;
  const output = isReference(base.output, url) ? base.output : referenceTo(base.output, url);
  return { ...base, output: output as unknown as Json, output_url: url };
}

/** The record for a key without the scope `read`: it says where the values are, and nothing of what they are. */
export const withoutValues = (record: Prediction): Prediction =>
  withoutOutput({ ...record, input: hiddenInput(record) });

const hiddenInput = ({ input, urls }: Prediction): Prediction['input'] =>
  Object.fromEntries(
    Object.keys(input).map((field) => {
      const url = `${urls.get}/input/${field}`;
      return [field, { url, bytes: null, sha256: null, media_type: null }];
    }),
  );

export const withoutOutput = (record: Prediction): Prediction =>
  record.status === 'succeeded'
    ? { ...record, output: null, output_url: record.urls.output }
    : { ...record, partial_output: null };

const shownInput = ({ input, urls }: Prediction): Prediction['input'] =>
  Object.fromEntries(
    Object.entries(input).map(([field, value]) => {
      const url = `${urls.get}/input/${field}`;
      const isShown = isReference(value, url) || sizeOf(value as Json) <= MAX_SHOWN_BYTES;
      return [field, isShown ? value : referenceTo(value as Json, url)];
    }),
  );

const sizeOf = (value: Json): number => Buffer.byteLength(JSON.stringify(value));

/** A value that lies in the store is a reference already. */
const isReference = (value: Json | InputReference, url: string): boolean =>
  typeof value === 'object' && value !== null && 'url' in value && value.url === url;

function referenceTo(value: Json, url: string): InputReference {
  const text = JSON.stringify(value);
  const sha256 = createHash('sha256').update(text).digest('hex');
  return { url, bytes: Buffer.byteLength(text), sha256, media_type: JSON_MEDIA_TYPE };
}
