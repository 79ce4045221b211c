/*
 * Private by construction: where nothing that a client writes may lie in the engine, a request may hold only what is
 * no text of its own. Inputs, outputs and work lie in the payload store anyway.
 */
import { z } from 'zod';
import { invalidAt, toPointer } from '../contract/refusal.ts';
import type { ModelVersion } from '../models/repository.ts';
import type { Order } from './order.ts';
import type { OrderTerms } from './request-schema.ts';

const WHY =
  'is not taken where nothing that clients write may lie in the engine (BUZZER_ENGINE_INLINE_LIMIT=0)';

/** Refuses the terms that the engine would have to keep although they are a client's own words. */
export function requirePrivate(
  { terms, asked }: { readonly terms: OrderTerms; readonly asked?: Order['asked'] },
  { schema }: ModelVersion,
): void {
  const { metadata, tags, webhook, options } = terms;
  for (const [name, value] of Object.entries(asked ?? {})) requirePlain(value, null, [name]);
  if (Object.keys(metadata).length > 0) throw invalidAt('/metadata', WHY);
  if (tags.length > 0) throw invalidAt('/tags', WHY);
  if (webhook !== null) requireNoQuery(webhook.url, '/webhook');
  for (const [name, value] of Object.entries(options)) {
    if (schema.secretOptions.includes(name)) continue; // the engine does not have it
    requirePlain(value, schema.options.shape[name], ['options', name]);
  }
}

/** Refuses a URL with a query, which may be a secret. */
export function requireNoQuery(url: string, pointer: string): void {
  if (/[?#]/.test(url)) throw invalidAt(pointer, `with a query ${WHY}`);
}

/** Refuses a text unless its schema has named it. */
function requirePlain(value: unknown, schema: unknown, path: readonly string[]): void {
  if (typeof value === 'string') {
    if (isNamed(schema)) return;
    throw invalidAt(toPointer(path), `as a text ${WHY}`);
  }
  if (typeof value !== 'object' || value === null) return;
  // A member of an object, or an element of an array, may be named only by a schema of its own.
  for (const [name, member] of Object.entries(value)) requirePlain(member, null, [...path, name]);
}

function isNamed(schema: unknown): boolean {
  if (schema instanceof z.ZodEnum || schema instanceof z.ZodLiteral) return true;
  const isWrapped =
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodExactOptional;
  return isWrapped && isNamed(schema.unwrap());
}
