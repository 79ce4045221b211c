import { z } from 'zod';
import { type DescribePipeline, PLAIN_INPUT } from '../definition.ts';
import { imageField } from '../shared/image-header.ts';

/** The files an `ocr` manifest must name. */
export const OCR_FILES = ['detection', 'recognition', 'dictionary'] as const;

const point = z.tuple([z.number(), z.number()]);

const optionsSchema = z.strictObject({
  min_confidence: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe('Lines read with less confidence than this are left out.'),
});

const outputSchema = z.object({
  text: z.string().describe('All lines in reading order, joined by newlines.'),
  lines: z.array(
    z.object({
      text: z.string(),
      confidence: z.number().min(0).max(1).describe('Mean probability of its characters.'),
      box: z
        .tuple([point, point, point, point])
        .describe('Corners [x, y] in pixels of the page: top left, then clockwise.'),
    }),
  ),
  page: z.object({ width: z.int(), height: z.int() }).describe('In pixels, upright.'),
});

export type OcrOptions = z.infer<typeof optionsSchema>;
export type OcrOutput = z.infer<typeof outputSchema>;

/** A white PNG image of 64 × 32 pixels. */
const EMPTY_PAGE =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAAAgCAAAAACH9iFYAAAAH0lEQVR42mP4TyFgGDVg1IBRA0YNGDVg1IBRA4abAQBtz/hqtjT8QgAAAABJRU5ErkJggg==';

export const describeOcr: DescribePipeline = (manifest) => {
  const missing = OCR_FILES.filter((role) => manifest.files[role] === undefined);
  if (missing.length > 0) {
    throw new Error(`files: the ocr pipeline also needs ${missing.join(', ')}`);
  }
  return {
    ...PLAIN_INPUT,
    example: { image: EMPTY_PAGE },
    input: z.strictObject({
      image: z
        .string()
        .describe(
          'A PNG, JPEG, TIFF (its first page) or WebP image, as a data URL or an https URL.',
        ),
    }),
    options: optionsSchema,
    output: outputSchema,
    media: { image: imageField },
    batchKey: null, // convolutions gain nothing on a CPU, and padding would change the text
  };
};
