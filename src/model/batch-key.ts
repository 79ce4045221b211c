import type { FieldValue } from './protocol.ts';
import type { ModelVersion } from './repository.ts';
import type { InferenceRequest } from './runtime.ts';

/** Reading a larger one would hold up the worker's heartbeats; it fills a device by itself. */
const MAX_JSON_BYTES = 1024 ** 2;

/**
 * What must be equal for two inferences to run as one: what the pipeline says of their inputs, their
 * options and their run timeout. Null: it runs alone.
 */
export function batchKeyOf(version: ModelVersion, request: InferenceRequest): string | null {
  const { schema, manifest } = version;
  if (manifest.batching.max_size === 1 || schema.batchKey === null) return null;
  const fields = Object.entries(request.input);
  if (fields.some(([, value]) => 'jsonBytes' in value && value.jsonBytes.length > MAX_JSON_BYTES)) {
    return null;
  }
  const input = Object.fromEntries(fields.map(([name, value]) => [name, readField(value)]));
  return JSON.stringify([schema.batchKey(input), request.options, request.runTimeoutMs]);
}

/** A field as its pipeline takes it. */
export function readField(value: FieldValue): unknown {
  if ('json' in value) return value.json;
  if ('media' in value) return value.media;
  return JSON.parse(Buffer.from(value.jsonBytes).toString('utf8'));
}
