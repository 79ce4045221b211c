/*
 * The messages between a supervisor and its model process, over Node's IPC channel with
 * `serialization: 'advanced'` (typed arrays travel as they are).
 */
import type { Manifest } from '../contract/model.ts';
import type { Json } from '../contract/payload.ts';
import type { Progress } from '../contract/prediction.ts';
import type { Graphs } from '../pipelines/index.ts';

/** Everything a model process needs to know; it reads no environment. */
export interface LoadSettings {
  readonly manifest: Manifest;
  /** Absolute paths by role. */
  readonly files: Readonly<Record<string, string>>;
  readonly graphs: Graphs;
  readonly device: string;
  readonly maxPixels: number;
  readonly maxOutputBytes: number;
}

/** An input field on its way: a JSON value, media bytes, or the bytes of a JSON value. */
export type FieldValue =
  { readonly json: Json } | { readonly media: Uint8Array } | { readonly jsonBytes: Uint8Array };

/** A field as its pipeline takes it. */
export function readField(value: FieldValue): unknown {
  if ('json' in value) return value.json;
  if ('media' in value) return value.media;
  return JSON.parse(Buffer.from(value.jsonBytes).toString('utf8'));
}

/** The fields of one inference of a batch. */
export type ItemInput = Readonly<Record<string, FieldValue>>;

/** Supervisor → process. The first message is `load`; then one `infer` at a time. */
export type ToProcess =
  | { readonly type: 'load'; readonly settings: LoadSettings }
  | {
      readonly type: 'infer';
      readonly inputs: readonly ItemInput[];
      /** Of all of them: what differs in its options does not share a batch. */
      readonly options: Readonly<Record<string, Json>>;
    };

/** Process → supervisor. `load` is answered by `ready` or `load_failed`, `infer` by `done`. */
export type FromProcess =
  | { readonly type: 'ready' }
  | { readonly type: 'load_failed'; readonly message: string }
  | { readonly type: 'progress'; readonly item: number; readonly progress: Progress }
  | {
      readonly type: 'done';
      /** One for each item, in their order. */
      readonly outcomes: readonly ItemOutcome[];
      readonly inferenceMs: number;
    };

/** What became of one item; its process is well either way. */
export type ItemOutcome =
  | { readonly output: Uint8Array; readonly mediaType: string }
  | { readonly error: ItemErrorKind; readonly message: string };

export type ItemErrorKind = 'invalid_input' | 'output_too_large' | 'out_of_memory' | 'internal';
