/*
 * The messages between a supervisor and its model process, over Node's IPC channel with
 * `serialization: 'advanced'` (typed arrays travel as they are). Larger bytes take the lanes, files
 * that the process inherits: one for inputs, one for outputs.
 */
import type { ChildProcess } from 'node:child_process';
import type { Manifest } from '../contract/model.ts';
import type { Json } from '../contract/payload.ts';
import type { Progress, TokenCount } from '../contract/prediction.ts';
import type { Part } from '../contract/work.ts';
import { type Configs, type Graphs, MediaFile } from '../pipelines/index.ts';
import type { Bytes, Lane } from './lane.ts';

/** Everything a model process needs to know; it reads no environment. */
export interface LoadSettings {
  readonly manifest: Manifest;
  /** Absolute paths by role. */
  readonly files: Readonly<Record<string, string>>;
  readonly graphs: Graphs;
  readonly configs: Configs;
  readonly device: string;
  readonly maxPixels: number;
  readonly maxOutputBytes: number;
}

/** The process's descriptors of its two lanes, behind the IPC channel. */
export const INPUT_LANE = 4;
export const OUTPUT_LANE = 5;

interface Value {
  readonly kind: 'value';
  readonly value: Json;
}

interface FileValue {
  readonly kind: 'file';
  readonly path: string;
}

/** An input field between the two processes: a JSON value, the bytes of one, media, or a file with media. */
export type FieldValue =
  Value | FileValue | { readonly kind: 'json' | 'media'; readonly bytes: Uint8Array };

/** A field as its pipeline takes it. */
export function readField(value: FieldValue): unknown {
  switch (value.kind) {
    case 'value':
      return value.value;
    case 'json':
      return JSON.parse(Buffer.from(value.bytes).toString('utf8'));
    case 'media':
      return value.bytes;
    case 'file':
      return new MediaFile(value.path);
  }
}

/** The fields of one inference of a batch. */
export type ItemInput = Readonly<Record<string, FieldValue>>;

/** Supervisor → process. The first message is `load`; then one `infer` at a time, and `cancel` while it runs. */
export type ToProcess =
  | {
      readonly type: 'load';
      readonly settings: LoadSettings;
      /** Whether its descriptors 4 and 5 are lanes. */
      readonly hasLanes: boolean;
      /** Files whose hash was found right before (`checked-files.ts`). */
      readonly checkedFiles: readonly string[];
    }
  | {
      readonly type: 'infer';
      readonly inputs: readonly WireInput[];
      /** The options of every item: inferences with different options never share a batch. */
      readonly options: Readonly<Record<string, Json>>;
      /** For each item what earlier attempts have done of it; null: nothing. */
      readonly before: readonly (Part | null)[];
    }
  /** Nobody wants the result of an item of the batch any more. */
  | { readonly type: 'cancel'; readonly item: number };

/** Fields as they travel: their bytes may lie in the lane. */
export type WireInput = Readonly<Record<string, WireField>>;
type WireField = Value | FileValue | { readonly kind: 'json' | 'media'; readonly bytes: Bytes };

/** Asks for a batch; writes the bytes of its inputs into the lane. */
export function inferMessage(
  requests: readonly {
    readonly input: ItemInput;
    readonly options: Readonly<Record<string, Json>>;
    readonly before: Part | null;
  }[],
  lane: Lane,
): ToProcess {
  const inputs = requests.map(({ input }) => input);
  return {
    type: 'infer',
    inputs: mapBytes<Uint8Array>(inputs, (all) => lane.put(all.map((bytes) => [bytes]))),
    options: requests[0]?.options ?? {}, // equal for all: part of the batch key
    before: requests.map(({ before }) => before),
  };
}

/** Reads the bytes of a batch from the lane. */
export function unpackInputs(inputs: readonly WireInput[], lane: Lane): readonly ItemInput[] {
  return mapBytes<Bytes>(inputs, (parts) => lane.take(parts)) as readonly ItemInput[];
}

const hasBytes = (value: WireField): value is Extract<WireField, { bytes: Bytes }> =>
  value.kind === 'json' || value.kind === 'media';

function mapBytes<From extends Bytes>(
  inputs: readonly Readonly<Record<string, WireField>>[],
  change: (parts: readonly From[]) => readonly Bytes[],
): readonly WireInput[] {
  const parts: From[] = [];
  for (const input of inputs) {
    for (const value of Object.values(input)) {
      if (hasBytes(value)) parts.push(value.bytes as From);
    }
  }
  const changed = change(parts).values();
  const next = () => changed.next().value as Bytes;
  return inputs.map((input) =>
    Object.fromEntries(
      Object.entries(input).map(([field, value]): [string, WireField] => {
        return [field, hasBytes(value) ? { ...value, bytes: next() } : value];
      }),
    ),
  );
}

/**
 * A process that has just died takes no message; its exit event does the rest. A message that cannot be sent
 * at all (nested too deeply, say) ends its process, and with it the run.
 */
export function send(child: ChildProcess, message: ToProcess): void {
  try {
    if (child.connected) child.send(message, () => {});
  } catch {
    child.kill('SIGKILL');
  }
}

/**
 * Process → supervisor. `load` is answered by `ready` or `load_failed`, `infer` by `taken`, before
 * anything is run, and by `done`.
 */
export type FromProcess =
  | { readonly type: 'ready'; readonly checkedFiles: readonly string[] }
  | { readonly type: 'load_failed'; readonly message: string }
  | { readonly type: 'taken' }
  | { readonly type: 'progress'; readonly item: number; readonly progress: Progress }
  /** What an item has done since its last part. */
  | { readonly type: 'partial'; readonly item: number; readonly part: Part }
  | {
      readonly type: 'done';
      /** One for each item, in their order. */
      readonly outcomes: readonly ItemOutcome[];
      /** For each item; null: it counts none. */
      readonly tokens: readonly (TokenCount | null)[];
      readonly inferenceMs: number;
    };

/** A file of an output: as many bytes of what is sent. */
interface FileRef {
  readonly length: number;
  readonly mediaType: string;
}

/** The outcome of one item. Whatever it is, the process goes on. */
export type ItemOutcome =
  | {
      readonly status: 'succeeded';
      /** The files of the output, one after the other, and then the output itself. */
      readonly output: Bytes;
      readonly mediaType: string;
      readonly files: readonly FileRef[];
    }
  | {
      readonly status: 'failed';
      readonly error: ItemErrorKind;
      readonly message: string;
      /** See `InvalidInputError`. */
      readonly reason: string | null;
    };

export type ItemErrorKind = 'invalid_input' | 'output_too_large' | 'out_of_memory' | 'internal';

export type DoneMessage = Extract<FromProcess, { type: 'done' }>;
