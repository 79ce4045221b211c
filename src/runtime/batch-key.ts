import { type FieldValue, readField } from './protocol.ts';
import type { ModelVersion } from '../models/repository.ts';
import type { InferenceRequest } from './runtime.ts';

/** Reading a larger input for its key would hold up the worker's heartbeats, and it fills a device alone. */
const MAX_FIELD_BYTES = 1024 ** 2;

/**
 * What must be equal for two inferences to run as one: what the pipeline says of their inputs, their
 * options and their run timeout. Null: it runs alone.
 */
export function batchKeyOf(version: ModelVersion, request: InferenceRequest): string | null {
  const { schema, manifest } = version;
  if (manifest.batching.max_size === 1 || schema.batchKey === null) return null;
  const fields = Object.entries(request.input);
  if (fields.some(([, value]) => bytesOf(value) > MAX_FIELD_BYTES)) return null;
  const input = Object.fromEntries(fields.map(([name, value]) => [name, readField(value)]));
  return JSON.stringify([schema.batchKey(input), request.options, request.runTimeoutMs]);
}

function bytesOf(value: FieldValue): number {
  if (value.kind === 'file') return Number.POSITIVE_INFINITY; // it is large
  return value.kind === 'value' ? 0 : value.bytes.length;
}
