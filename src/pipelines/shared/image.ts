import sharp from 'sharp';
import { InvalidInputError, type Media, MediaFile, type MediaLimits } from '../definition.ts';

/** An upright image as 8-bit RGB, row-major, three bytes a pixel. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Buffer;
}

/** A rectangle in pixels. */
export interface Region {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** The scale of network inputs: 0 to 255 → -1 to 1. */
export const HALF_RANGE = 127.5;

sharp.concurrency(1); // parallelism comes from model processes, each of which owns its threads
sharp.cache(false); // the same image never comes twice

/**
 * Decodes a whole image; transparency becomes white paper. `page` (from 0) is one of a file of several. Throws
 * `InvalidInputError`.
 */
export async function decodeImage(
  media: Media,
  limits: MediaLimits,
  { page = 0, timeoutMs = 0 }: { readonly page?: number; readonly timeoutMs?: number } = {},
): Promise<RgbImage> {
  try {
    const { data, info } = await sharp(media instanceof MediaFile ? media.path : media, {
      limitInputPixels: limits.maxPixels,
      failOn: 'error', // truncated files too
      page,
    })
      .timeout({ seconds: Math.ceil(timeoutMs / 1000) }) // 0: none
      .autoOrient()
      .flatten({ background: 'white' })
      .toColourspace('srgb')
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { data, width: info.width, height: info.height };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new InvalidInputError(`the image cannot be decoded: ${reason}`, { cause: error });
  }
}

/**
 * An image in another size; pixels are averaged where it shrinks. `fill`: it is stretched; `cover`: what does not fit is
 * cut off around its middle.
 */
export async function resizeImage(
  image: RgbImage,
  {
    width,
    height,
    fit = 'fill',
  }: { readonly width: number; readonly height: number; readonly fit?: 'fill' | 'cover' },
): Promise<RgbImage> {
  if (width === image.width && height === image.height) return image;
  const raw = { width: image.width, height: image.height, channels: 3 } as const;
  const data = await sharp(image.data, { raw, limitInputPixels: false }) // the decoder checked the limit
    .resize(width, height, { fit, kernel: 'linear' })
    .raw()
    .toBuffer();
  return { width, height, data };
}

/**
 * A region of an image as planes of -1 to 1 in the order blue, green, red, written into `target`
 * (shape [3, region height, region width]).
 */
export function toPlanes(image: RgbImage, region: Region, target: Float32Array): void {
  const { left, top, width, height } = region;
  let position = 0;
  for (let channel = 2; channel >= 0; channel--) {
    for (let y = top; y < top + height; y++) {
      let source = (y * image.width + left) * 3 + channel;
      for (let x = 0; x < width; x++, source += 3) {
        target[position++] = (image.data[source] ?? 0) / HALF_RANGE - 1;
      }
    }
  }
}
