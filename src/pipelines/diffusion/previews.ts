/*
 * What a picture is going to be, while it is made: the picture that the network sees in the noise. A small autoencoder
 * decodes it; of a large one that would take seconds, so the latents of Stable Diffusion are mixed to colours instead,
 * at an eighth of the size. The factors are those that ComfyUI has found by regression (comfy/latent_formats.py).
 */
import type { RgbImage } from '../shared/image.ts';
import { type Autoencoder, toImage } from './autoencoder.ts';
import type { LatentShape } from './denoiser.ts';
import { VAE_DECODER } from './layout.ts';
import type { ModelFacts } from './model-facts.ts';
import type { Networks } from './networks.ts';

type Rgb = readonly [number, number, number];

interface Mixture {
  /** How much each channel of the latents adds to red, green and blue. */
  readonly factors: readonly [Rgb, Rgb, Rgb, Rgb];
  readonly bias: Rgb;
}

const STABLE_DIFFUSION: Mixture = {
  factors: [
    [0.3512, 0.2297, 0.3227],
    [0.325, 0.4974, 0.235],
    [-0.2829, 0.1762, 0.2721],
    [-0.212, -0.2616, -0.7177],
  ],
  bias: [0, 0, 0],
};
const STABLE_DIFFUSION_XL: Mixture = {
  factors: [
    [0.3651, 0.4232, 0.4341],
    [-0.2533, -0.0042, 0.1068],
    [0.1076, 0.1111, -0.0362],
    [-0.3165, -0.2492, -0.2188],
  ],
  bias: [0.1084, -0.0175, -0.0011],
};

/** A decoder with more weights takes too long for a preview. */
const MAX_DECODER_BYTES = 4 * 1024 ** 2;

/** Makes the picture that latents stand for, or nearly so. */
export type MakePreview = (latents: Float32Array, shape: LatentShape) => Promise<RgbImage>;

/** Null: there is no preview for this model. */
export async function previewsOf(
  facts: ModelFacts,
  networks: Networks,
  autoencoder: Autoencoder,
): Promise<MakePreview | null> {
  const isSmall = (await networks.sizeOf(VAE_DECODER)) <= MAX_DECODER_BYTES;
  if (isSmall && networks.loaded.includes(VAE_DECODER)) {
    return async (latents, shape) => await autoencoder.decode(latents, shape);
  }
  const mixture = facts.isXl ? STABLE_DIFFUSION_XL : STABLE_DIFFUSION;
  if (facts.latentChannels !== mixture.factors.length) return null;
  return async (latents, shape) => mixed(latents, shape, mixture);
}

function mixed(latents: Float32Array, shape: LatentShape, { factors, bias }: Mixture): RgbImage {
  const pixels = shape.width * shape.height;
  const planes = new Float32Array(bias.length * pixels);
  for (const [colour, base] of bias.entries()) {
    for (let index = 0; index < pixels; index++) {
      let value = base;
      for (const [channel, factor] of factors.entries()) {
        value += (factor[colour] ?? 0) * (latents[channel * pixels + index] as number);
      }
      planes[colour * pixels + index] = value;
    }
  }
  return toImage(planes, { ...shape, channels: bias.length });
}
