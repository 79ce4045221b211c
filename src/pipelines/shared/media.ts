import { open, readFile } from 'node:fs/promises';
import { type Media, MediaFile } from '../definition.ts';

/** All bytes of media, wherever it lies. */
export const bytesOf = async (media: Media): Promise<Uint8Array> =>
  media instanceof MediaFile ? await readFile(media.path) : media;

/** Media that is read piece by piece, wherever it lies. */
export interface MediaReader {
  /** How many bytes there are. */
  readonly bytes: number;
  /** Bytes from `offset` on; fewer where the media ends. */
  read(offset: number, bytes: number): Promise<DataView>;
  close(): Promise<void>;
}

export async function openMedia(media: Media): Promise<MediaReader> {
  if (!(media instanceof MediaFile)) {
    return {
      bytes: media.length,
      read: async (offset, bytes) =>
        await Promise.resolve(viewOf(media.subarray(offset, offset + bytes))),
      close: async () => {},
    };
  }
  const file = await open(media.path);
  const { size } = await file.stat();
  return {
    bytes: size,
    async read(offset, bytes) {
      const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(bytes, size - offset)));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
      return viewOf(buffer.subarray(0, bytesRead));
    },
    close: async () => await file.close(),
  };
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
