/*
 * The messages between a supervisor and its model process, over Node's IPC channel with
 * `serialization: 'advanced'` (typed arrays travel as they are). Larger bytes take the lanes, files
 * that the process inherits: one for inputs, one for outputs.
 */
import type { Manifest } from '../contract/model.ts';
import type { Json } from '../contract/payload.ts';
import type { Progress } from '../contract/prediction.ts';
import type { Graphs } from '../pipelines/index.ts';
import type { Bytes, Lane } from './lane.ts';

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

/** The process's descriptors of its two lanes, behind the IPC channel. */
export const INPUT_LANE = 4;
export const OUTPUT_LANE = 5;

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
  | {
      readonly type: 'load';
      readonly settings: LoadSettings;
      /** Whether its descriptors 4 and 5 are lanes. */
      readonly hasLanes: boolean;
    }
  | {
      readonly type: 'infer';
      readonly inputs: readonly WireInput[];
      /** Of all of them: what differs in its options does not share a batch. */
      readonly options: Readonly<Record<string, Json>>;
    };

/** Fields as they travel: their bytes may lie in the lane. */
export type WireInput = Readonly<Record<string, WireField>>;
type WireField =
  { readonly json: Json } | { readonly media: Bytes } | { readonly jsonBytes: Bytes };

/** Lays the bytes of a batch into the lane. */
export function packInputs(inputs: readonly ItemInput[], lane: Lane): readonly WireInput[] {
  return mapBytes<Uint8Array>(inputs, (all) => lane.put(all.map((bytes) => [bytes])));
}

/** The other way round. */
export function unpackInputs(inputs: readonly WireInput[], lane: Lane): readonly ItemInput[] {
  return mapBytes<Bytes>(inputs, (parts) => lane.take(parts)) as readonly ItemInput[];
}

function mapBytes<From extends Bytes>(
  inputs: readonly Readonly<Record<string, WireField>>[],
  change: (parts: readonly From[]) => readonly Bytes[],
): readonly WireInput[] {
  const parts: From[] = [];
  for (const input of inputs) {
    for (const value of Object.values(input)) {
      if ('media' in value) parts.push(value.media as From);
      else if ('jsonBytes' in value) parts.push(value.jsonBytes as From);
    }
  }
  const changed = change(parts).values();
  const next = () => changed.next().value as Bytes;
  return inputs.map((input) =>
    Object.fromEntries(
      Object.entries(input).map(([field, value]): [string, WireField] => {
        if ('media' in value) return [field, { media: next() }];
        return [field, 'jsonBytes' in value ? { jsonBytes: next() } : value];
      }),
    ),
  );
}

/**
 * Process → supervisor. `load` is answered by `ready` or `load_failed`, `infer` by `taken`, before
 * anything is run, and by `done`.
 */
export type FromProcess =
  | { readonly type: 'ready' }
  | { readonly type: 'load_failed'; readonly message: string }
  | { readonly type: 'taken' }
  | { readonly type: 'progress'; readonly item: number; readonly progress: Progress }
  | {
      readonly type: 'done';
      /** One for each item, in their order. */
      readonly outcomes: readonly ItemOutcome[];
      readonly inferenceMs: number;
    };

/** What became of one item; its process is well either way. */
export type ItemOutcome =
  | { readonly output: Bytes; readonly mediaType: string }
  | { readonly error: ItemErrorKind; readonly message: string };

export type ItemErrorKind = 'invalid_input' | 'output_too_large' | 'out_of_memory' | 'internal';

export type DoneMessage = Extract<FromProcess, { type: 'done' }>;
