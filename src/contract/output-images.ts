/*
 * Images that an output tells of. They lie beside it: in the output each has a place in `images`, and what is known of
 * it as a file is added when the output is shown.
 */
import type { Claim, Json } from './payload.ts';

/** What is known of a file. */
export interface ImageFacts {
  readonly url: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly media_type: string;
}

/** The output with the facts of its images. */
export function withImageFacts(output: Json, facts: readonly ImageFacts[]): Json {
  const { images, ...others } = output as Readonly<Record<string, Json>>;
  const all = (images ?? []) as readonly Readonly<Record<string, Json>>[];
  return { ...others, images: all.map((image, index) => ({ ...facts[index], ...image })) };
}

/** The image of a claim, at its own URL below that of the output. */
export const factsOfClaim = (
  { bytes, sha256, media_type }: Claim,
  index: number,
  outputUrl: string,
): ImageFacts => ({ url: `${outputUrl}/${index}`, bytes, sha256, media_type });
