/* Images as documents: a TIFF has any number of pages, another image has one. All of them are read by OCR. */
import sharp from 'sharp';
import { messageOf } from '../../contract/failure.ts';
import { InvalidInputError, type Media, MediaFile } from '../definition.ts';
import { decodeImage } from '../shared/image.ts';
import {
  type PageContent,
  PageFailure,
  type Pages,
  pageTimeout,
  POINTS_PER_INCH,
} from './pages.ts';

/** What scanners and phones write; anything else is a slip, and a pixel is taken for a point. */
const PLAUSIBLE_DPI = { least: 36, most: 4800 } as const;

export interface RasterOptions {
  readonly media: Media;
  readonly maxImagePixels: number;
  readonly pageTimeoutMs: number;
}

/** Throws `InvalidInputError`. */
export async function openRaster({ media, ...limits }: RasterOptions): Promise<Pages> {
  const source = media instanceof MediaFile ? media.path : media;
  const facts = await sharp(source, { limitInputPixels: false })
    .metadata()
    .catch((error: unknown) => {
      const message = `document: it cannot be opened: ${messageOf(error)}`;
      throw new InvalidInputError(message, { reason: 'damaged', cause: error });
    });
  const { density = POINTS_PER_INCH } = facts;
  const isPlausible = density >= PLAUSIBLE_DPI.least && density <= PLAUSIBLE_DPI.most;
  const pointsPerPixel = isPlausible ? POINTS_PER_INCH / density : 1;
  return {
    count: facts.format === 'tiff' ? (facts.pages ?? 1) : 1,
    async read(number, signal): Promise<PageContent> {
      signal.throwIfAborted();
      const page = number - 1;
      await requireSmall(source, page, limits.maxImagePixels);
      const image = await decodeImage(
        media,
        { maxPixels: limits.maxImagePixels },
        { page, timeoutMs: limits.pageTimeoutMs },
      ).catch((error: unknown) => {
        if (/timeout/i.test(messageOf(error))) throw pageTimeout(limits.pageTimeoutMs);
        throw new PageFailure({ code: 'page_damaged', message: messageOf(error) });
      });
      const [width, height] = [image.width, image.height].map((px) => px * pointsPerPixel) as [
        number,
        number,
      ];
      return { width, height, rotation: 0, source: 'ocr', image };
    },
    close: async () => {},
  };
}

async function requireSmall(
  source: string | Uint8Array,
  page: number,
  most: number,
): Promise<void> {
  const { width, height } = await sharp(source, { page, limitInputPixels: false })
    .metadata()
    .catch((error: unknown) => {
      throw new PageFailure({ code: 'page_damaged', message: messageOf(error) });
    });
  if (width * height <= most) return;
  const message = `the page has ${width}×${height} pixels, more than the ${most} allowed`;
  throw new PageFailure({ code: 'image_too_large', message });
}
