/*
 * How far a run has come, as far as it must be known to go on: what it tells as parts of its work, and reads back.
 * Numbers are single precision, little-endian, in base64. `origin` names what computes them (ONNX Runtime's version, the
 * device, the files): others compute slightly different numbers, so their checkpoints are not used.
 *
 * Of `checkpoint` the latest counts; finished images are told once each, and follow each other.
 */
import { z } from 'zod';
import type { Part } from '../../contract/work.ts';

/** Of the image that is being made. */
export interface Checkpoint {
  /** From 0; those before it have all their steps. */
  readonly image: number;
  /** How many of its steps are done. */
  readonly step: number;
  readonly latents: Float32Array;
  /** What the sampler keeps from the step before; null: nothing. */
  readonly before: Float32Array | null;
}

/** What earlier attempts have told. */
export interface Progress {
  readonly checkpoint: Checkpoint;
  /** The latents of the images before it. */
  readonly done: readonly Float32Array[];
  /** The latents that the run begins with; null: it begins with noise alone. */
  readonly start: Float32Array | null;
}

/** What a run may have told. */
export interface RunLimits {
  readonly origin: string;
  /** How many numbers latents have. */
  readonly length: number;
  readonly images: number;
  readonly steps: number;
  readonly needsBefore: boolean;
}

const partSchema = z.object({
  checkpoint: z.object({
    origin: z.string(),
    image: z.int().min(0),
    step: z.int().min(1),
    latents: z.string(),
    before: z.string().nullable(),
  }),
  done: z.array(z.object({ origin: z.string(), image: z.int(), latents: z.string() })).default([]),
  start: z.object({ origin: z.string(), latents: z.string() }).nullable().default(null),
});

export const checkpointPart = (
  { image, step, latents, before }: Checkpoint,
  origin: string,
): Part => ({
  checkpoint: {
    origin,
    image,
    step,
    latents: encoded(latents),
    before: before === null ? null : encoded(before),
  },
});

/** An image that has all its steps. */
export const donePart = (image: number, latents: Float32Array, origin: string): Part => ({
  done: [{ origin, image, latents: encoded(latents) }],
});

/** What the run begins with: the encoder of an older export gives other latents each time. */
export const startPart = (latents: Float32Array, origin: string): Part => ({
  start: { origin, latents: encoded(latents) },
});

/** What earlier attempts have told; null when it is of no use for this run. */
export function progressIn(part: Part | null, limits: RunLimits): Progress | null {
  const parsed = partSchema.safeParse(part);
  if (!parsed.success || parsed.data.checkpoint.origin !== limits.origin) return null;
  const { image, step, latents, before } = parsed.data.checkpoint;
  if (image >= limits.images || step > limits.steps) return null;
  if (limits.needsBefore && before === null) return null;
  const own = parsed.data.done.filter(({ origin }) => origin === limits.origin);
  const done = Array.from({ length: image }, (_, index) =>
    own.findLast((each) => each.image === index),
  );
  const { start } = parsed.data;
  const read = {
    checkpoint: {
      image,
      step,
      latents: decoded(latents),
      before: before === null ? null : decoded(before),
    },
    done: done.map((each) => decoded(each?.latents ?? '')),
    start: start?.origin === limits.origin ? decoded(start.latents) : null,
  };
  const all = [read.checkpoint.latents, read.checkpoint.before, ...read.done, read.start];
  return all.every((values) => values === null || values.length === limits.length) ? read : null;
}

const encoded = ({ buffer, byteOffset, byteLength }: Float32Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('base64');

function decoded(text: string): Float32Array {
  const bytes = Buffer.from(text, 'base64');
  const values = new Float32Array(Math.floor(bytes.length / Float32Array.BYTES_PER_ELEMENT));
  new Uint8Array(values.buffer).set(bytes.subarray(0, values.byteLength));
  return values;
}
