import { readFile } from 'node:fs/promises';
import { type Media, MediaFile } from '../definition.ts';

/** All bytes of media, wherever it lies. */
export const bytesOf = async (media: Media): Promise<Uint8Array> =>
  media instanceof MediaFile ? await readFile(media.path) : media;
