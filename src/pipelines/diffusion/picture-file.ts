/* Pictures as files. */
import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import type { OutputFile } from '../definition.ts';
import type { RgbImage } from '../shared/image.ts';
import type { DiffusionOptions } from './schema.ts';

export type PictureFormat = Pick<DiffusionOptions, 'output_format' | 'output_quality'>;

/** `text` is what a PNG says of how it was made; null: nothing. */
export async function pictureFile(
  { data, width, height }: RgbImage,
  { output_format: format, output_quality: quality }: PictureFormat,
  text: string | null,
): Promise<OutputFile> {
  const raw = { width, height, channels: 3 } as const;
  const encoder = sharp(data, { raw, limitInputPixels: false });
  switch (format) {
    case 'png': {
      const bytes = await encoder.png().toBuffer();
      return { bytes: text === null ? bytes : withText(bytes, text), mediaType: 'image/png' };
    }
    case 'webp':
      return { bytes: await encoder.webp({ quality }).toBuffer(), mediaType: 'image/webp' };
    case 'jpeg':
      return { bytes: await encoder.jpeg({ quality }).toBuffer(), mediaType: 'image/jpeg' };
  }
}

/** The signature and the header chunk of a PNG: https://www.w3.org/TR/png-3/#5DataRep */
const PNG_HEAD_BYTES = 8 + 25;
/** The keyword under which programs for making images look for this. */
const KEYWORD = 'parameters';

/** The same PNG with an iTXt chunk (UTF-8, not compressed) behind its header. */
function withText(png: Buffer, text: string): Buffer {
  const data = Buffer.from(`iTXt${KEYWORD}\0\0\0\0\0${text}`, 'utf8');
  const chunk = Buffer.alloc(data.length + 8);
  chunk.writeUInt32BE(data.length - 4, 0); // without the type
  data.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(data), data.length + 4);
  return Buffer.concat([png.subarray(0, PNG_HEAD_BYTES), chunk, png.subarray(PNG_HEAD_BYTES)]);
}

/** What is told of how an image was made. */
export interface ImageParameters {
  readonly prompt: string;
  readonly negative: string;
  readonly options: DiffusionOptions;
  /** From 0. */
  readonly image: number;
  /** Whether the run began with an image. */
  readonly isGiven: boolean;
}

/** How an image was made, as such texts are usually written. */
export function parametersText(of: ImageParameters): string {
  const { prompt, negative, options, image, isGiven } = of;
  const { num_inference_steps: steps, scheduler, guidance_scale: guidance, seed, eta } = options;
  const facts = [
    `Steps: ${steps}`,
    `Sampler: ${scheduler}`,
    ...(eta === 0 ? [] : [`Eta: ${eta}`]),
    `CFG scale: ${guidance}`,
    `Seed: ${seed}`,
    `Size: ${options.width}x${options.height}`,
    ...(isGiven ? [`Denoising strength: ${options.strength}`] : []),
    ...(image === 0 ? [] : [`Image: ${image}`]),
    'Software: Buzzer',
  ];
  const lines = [prompt, ...(negative === '' ? [] : [`Negative prompt: ${negative}`])];
  return [...lines, facts.join(', ')].join('\n').replaceAll('\0', ' '); // a PNG may have none in its texts
}
