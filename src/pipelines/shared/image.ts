import sharp from 'sharp';
import type { MediaLimits } from '../definition.ts';

/** An upright image as 8-bit RGB, row-major, three bytes a pixel. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Buffer;
}

/** A rectangle in pixels; right and bottom are exclusive. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export class UnreadableImageError extends Error {
  override readonly name = 'UnreadableImageError';
}

sharp.concurrency(1); // parallelism comes from model processes, each of which owns its threads
sharp.cache(false); // no image is ever seen twice

/** Decodes a whole image; transparency becomes white paper. Throws `UnreadableImageError`. */
export async function decodeImage(bytes: Uint8Array, limits: MediaLimits): Promise<RgbImage> {
  try {
    const { data, info } = await sharp(bytes, {
      limitInputPixels: limits.maxPixels,
      failOn: 'truncated',
    })
      .autoOrient()
      .flatten({ background: 'white' })
      .toColourspace('srgb')
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { data, width: info.width, height: info.height };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new UnreadableImageError(`the image cannot be decoded: ${reason}`, { cause: error });
  }
}

/** A region of an image (all of it by default), stretched to `width` × `height`. */
export async function resizeRegion(
  image: RgbImage,
  size: { readonly width: number; readonly height: number },
  box: Box = { left: 0, top: 0, right: image.width, bottom: image.height },
): Promise<RgbImage> {
  const data = await sharp(image.data, {
    raw: { width: image.width, height: image.height, channels: 3 },
    limitInputPixels: false, // it has been decoded: the limit was kept
  })
    .extract({
      left: box.left,
      top: box.top,
      width: box.right - box.left,
      height: box.bottom - box.top,
    })
    .resize(size.width, size.height, { fit: 'fill', kernel: 'cubic' })
    .raw()
    .toBuffer();
  return { ...size, data };
}

/**
 * Pixels → one float plane per channel, `(value / 255 - mean) / deviation`, written into `target`
 * (shape [3, height, rowLength]) with rows of `rowLength`.
 */
export function toPlanes(
  image: RgbImage,
  normal: { readonly mean: readonly number[]; readonly deviation: readonly number[] },
  target: Float32Array,
  rowLength: number = image.width,
): void {
  const planeLength = rowLength * image.height;
  for (let channel = 0; channel < 3; channel++) {
    const scale = 1 / (255 * (normal.deviation[channel] ?? 1));
    const shift = (normal.mean[channel] ?? 0) / (normal.deviation[channel] ?? 1);
    for (let y = 0; y < image.height; y++) {
      let source = y * image.width * 3 + channel;
      const row = channel * planeLength + y * rowLength;
      for (let x = 0; x < image.width; x++, source += 3) {
        target[row + x] = (image.data[source] ?? 0) * scale - shift;
      }
    }
  }
}
