/*
 * Where a run is, as far as it must be known to go on: what it tells as parts of its work, and reads back. Numbers are
 * single precision, little-endian, in base64.
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
  /** The latents of the images before it. */
  readonly done: readonly Float32Array[];
}

const checkpointSchema = z.object({
  origin: z.string(),
  image: z.int().min(0),
  step: z.int().min(0),
  latents: z.string(),
  before: z.string().nullable(),
  done: z.array(z.string()),
});

/** `origin`: what computes it, of which another would compute slightly different numbers. */
export const checkpointPart = (
  { image, step, latents, before, done }: Checkpoint,
  origin: string,
): Part => ({
  checkpoint: {
    origin,
    image,
    step,
    latents: encoded(latents),
    before: before === null ? null : encoded(before),
    done: done.map(encoded),
  },
});

/** What earlier attempts have told; null when it is of no use for latents of this length. */
export function checkpointIn(part: Part | null, origin: string, length: number): Checkpoint | null {
  const parsed = checkpointSchema.safeParse(part?.['checkpoint']);
  if (!parsed.success || parsed.data.origin !== origin) return null;
  const { image, step, latents, before, done } = parsed.data;
  const all = [latents, ...(before === null ? [] : [before]), ...done].map(decoded);
  if (done.length !== image || all.some((values) => values.length !== length)) return null;
  return {
    image,
    step,
    latents: all[0] as Float32Array,
    before: before === null ? null : (all[1] as Float32Array),
    done: all.slice(all.length - done.length),
  };
}

const encoded = ({ buffer, byteOffset, byteLength }: Float32Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('base64');

function decoded(text: string): Float32Array {
  const bytes = Buffer.from(text, 'base64');
  const values = new Float32Array(Math.floor(bytes.length / Float32Array.BYTES_PER_ELEMENT));
  new Uint8Array(values.buffer).set(bytes.subarray(0, values.byteLength));
  return values;
}
