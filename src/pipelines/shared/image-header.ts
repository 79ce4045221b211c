/*
 * Reads the media type and the size of an image from its first bytes, so that an upload can be
 * refused while it is still arriving. PNG: W3C PNG §5.2 and §11.2.1. JPEG: ITU T.81 annex B.
 */
import { InvalidMediaError, type MediaField } from '../definition.ts';

interface ImageHeader {
  readonly mediaType: string;
  readonly width: number;
  readonly height: number;
}

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] as const;
const JPEG_SIGNATURE = [0xff, 0xd8, 0xff] as const;

/** A media field that takes these images, at most `maxPixels` large. */
export const imageField: MediaField = {
  accept: ['image/png', 'image/jpeg'],
  inspect(head, { maxPixels }) {
    const header = readImageHeader(head);
    if (header === null) return null;
    const { width, height, mediaType } = header;
    if (width === 0 || height === 0) throw new InvalidMediaError(`the image is ${width}×${height}`);
    if (width * height > maxPixels) {
      throw new InvalidMediaError(
        `the image has ${width}×${height} pixels, more than the ${maxPixels} allowed: send it smaller`,
      );
    }
    return mediaType;
  },
};

/** Null while more bytes are needed; throws when they can become neither a PNG nor a JPEG. */
function readImageHeader(head: Uint8Array): ImageHeader | null {
  if (startsLike(head, PNG_SIGNATURE)) return readPngHeader(head);
  if (startsLike(head, JPEG_SIGNATURE)) return readJpegHeader(head);
  throw new InvalidMediaError('these bytes are neither a PNG nor a JPEG image');
}

const startsLike = (head: Uint8Array, signature: readonly number[]): boolean =>
  signature.every((byte, index) => index >= head.length || head[index] === byte);

function readPngHeader(head: Uint8Array): ImageHeader | null {
  if (head.length < 24) return null;
  const view = viewOf(head);
  const isHeaderChunk = view.getUint32(12) === 0x49_48_44_52; // "IHDR"
  if (!isHeaderChunk) throw new InvalidMediaError('the PNG image does not begin with its header');
  return { mediaType: 'image/png', width: view.getUint32(16), height: view.getUint32(20) };
}

function readJpegHeader(head: Uint8Array): ImageHeader | null {
  const view = viewOf(head);
  let offset = 2;
  while (offset + 9 <= head.length) {
    if (head[offset] !== 0xff) throw new InvalidMediaError('the JPEG image is malformed');
    const marker = view.getUint8(offset + 1);
    if (marker === 0xff || isStandalone(marker)) {
      offset += marker === 0xff ? 1 : 2;
    } else if (isStartOfFrame(marker)) {
      const height = view.getUint16(offset + 5);
      return { mediaType: 'image/jpeg', width: view.getUint16(offset + 7), height };
    } else if (marker === 0xda || marker === 0xd9) {
      throw new InvalidMediaError('the JPEG image has no frame');
    } else {
      offset += 2 + view.getUint16(offset + 2);
    }
  }
  return null;
}

/** SOF0 to SOF15 without DHT, JPG and DAC, which share their range. */
const isStartOfFrame = (marker: number): boolean =>
  marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;

const isStandalone = (marker: number): boolean =>
  marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8);

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
