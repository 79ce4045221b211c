/*
 * Reads the media type and the size of an image from its first bytes, so that an upload can be
 * refused while it is still arriving. PNG: W3C PNG §5.2 and §11.2.1. JPEG: ITU T.81 annex B. TIFF: TIFF
 * 6.0 §2. WebP: RFC 9649.
 */
import { InvalidMediaError, type MediaField } from '../definition.ts';

interface ImageHeader {
  readonly mediaType: string;
  /** Null: the size lies too far into the file, so the decoder checks it. */
  readonly size: { readonly width: number; readonly height: number } | null;
}

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] as const;
const JPEG_SIGNATURE = [0xff, 0xd8, 0xff] as const;
const LITTLE_TIFF_SIGNATURE = [0x49, 0x49] as const; // "II"
const BIG_TIFF_SIGNATURE = [0x4d, 0x4d] as const; // "MM"
const RIFF_SIGNATURE = [0x52, 0x49, 0x46, 0x46] as const; // "RIFF"
const WEBP_HEADER_BYTES = 30;
/** A TIFF may have its directory anywhere. A directory further into the file is not waited for. */
const MAX_TIFF_HEAD_BYTES = 128 * 1024;

/** A media field that takes these images, at most `maxPixels` large. */
export const imageField: MediaField = {
  kind: 'image',
  accept: ['image/png', 'image/jpeg', 'image/tiff', 'image/webp'],
  inspect(head, { maxPixels }) {
    const header = readImageHeader(head);
    if (header === null) return null;
    const { mediaType, size } = header;
    if (size === null) return mediaType;
    const { width, height } = size;
    if (width === 0 || height === 0) throw new InvalidMediaError(`the image is ${width}×${height}`);
    if (width * height > maxPixels) {
      throw new InvalidMediaError(
        `the image has ${width}×${height} pixels, more than the ${maxPixels} allowed: send it smaller`,
      );
    }
    return mediaType;
  },
};

/** Null while more bytes are needed; throws when the bytes cannot be one of the images that we take. */
function readImageHeader(head: Uint8Array): ImageHeader | null {
  if (startsLike(head, PNG_SIGNATURE)) return readPngHeader(head);
  if (startsLike(head, JPEG_SIGNATURE)) return readJpegHeader(head);
  if (startsLike(head, LITTLE_TIFF_SIGNATURE)) return readTiffHeader(head, true);
  if (startsLike(head, BIG_TIFF_SIGNATURE)) return readTiffHeader(head, false);
  if (startsLike(head, RIFF_SIGNATURE)) return readWebpHeader(head);
  throw new InvalidMediaError('these bytes are no PNG, JPEG, TIFF or WebP image');
}

/** Whether bytes may be one of the images, as far as their signature goes. */
export const mayBeImage = (head: Uint8Array): boolean =>
  [PNG_SIGNATURE, JPEG_SIGNATURE, LITTLE_TIFF_SIGNATURE, BIG_TIFF_SIGNATURE, RIFF_SIGNATURE].some(
    (signature) => startsLike(head, signature),
  );

const startsLike = (head: Uint8Array, signature: readonly number[]): boolean =>
  signature.every((byte, index) => index >= head.length || head[index] === byte);

function readPngHeader(head: Uint8Array): ImageHeader | null {
  if (head.length < 24) return null;
  const view = viewOf(head);
  const isHeaderChunk = view.getUint32(12) === 0x49_48_44_52; // "IHDR"
  if (!isHeaderChunk) throw new InvalidMediaError('the PNG image does not begin with its header');
  return {
    mediaType: 'image/png',
    size: { width: view.getUint32(16), height: view.getUint32(20) },
  };
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
      const size = { width: view.getUint16(offset + 7), height };
      return { mediaType: 'image/jpeg', size };
    } else if (marker === 0xda || marker === 0xd9) {
      throw new InvalidMediaError('the JPEG image has no frame');
    } else {
      offset += 2 + view.getUint16(offset + 2);
    }
  }
  return null;
}

const TIFF = { magic: 42, width: 256, height: 257, short: 3, entryBytes: 12 } as const;

function readTiffHeader(head: Uint8Array, isLittle: boolean): ImageHeader | null {
  if (head.length < 8) return null;
  const mediaType = 'image/tiff';
  const view = viewOf(head);
  const magic = view.getUint16(2, isLittle);
  if (magic === TIFF.magic + 1) return { mediaType, size: null }; // BigTIFF
  if (magic !== TIFF.magic) throw new InvalidMediaError('the TIFF image is malformed');
  const directory = view.getUint32(4, isLittle);
  if (directory > MAX_TIFF_HEAD_BYTES) return { mediaType, size: null };
  if (directory + 2 > head.length) return null;
  const count = view.getUint16(directory, isLittle);
  if (directory + 2 + count * TIFF.entryBytes > head.length) return null;
  const size = { width: 0, height: 0 };
  for (let index = 0; index < count; index++) {
    const entry = directory + 2 + index * TIFF.entryBytes;
    const isShort = view.getUint16(entry + 2, isLittle) === TIFF.short;
    const value = isShort
      ? view.getUint16(entry + 8, isLittle)
      : view.getUint32(entry + 8, isLittle);
    const tag = view.getUint16(entry, isLittle);
    if (tag === TIFF.width) size.width = value;
    if (tag === TIFF.height) size.height = value;
  }
  return { mediaType, size };
}

function readWebpHeader(head: Uint8Array): ImageHeader | null {
  if (head.length < WEBP_HEADER_BYTES) return null;
  const view = viewOf(head);
  const fourCc = (offset: number) => String.fromCharCode(...head.subarray(offset, offset + 4));
  if (fourCc(8) !== 'WEBP') throw new InvalidMediaError('these bytes are no WebP image');
  const mediaType = 'image/webp';
  switch (fourCc(12)) {
    case 'VP8X': {
      const size24 = (offset: number) => (view.getUint32(offset - 1, true) >>> 8) + 1;
      return { mediaType, size: { width: size24(24), height: size24(27) } };
    }
    case 'VP8L': {
      const bits = view.getUint32(21, true);
      return {
        mediaType,
        size: { width: (bits & 0x3fff) + 1, height: ((bits >> 14) & 0x3fff) + 1 },
      };
    }
    case 'VP8 ': {
      const size14 = (offset: number) => view.getUint16(offset, true) & 0x3fff;
      return { mediaType, size: { width: size14(26), height: size14(28) } };
    }
    default:
      throw new InvalidMediaError('the WebP image is malformed');
  }
}

/** SOF0 to SOF15 without DHT, JPG and DAC, which share their range. */
const isStartOfFrame = (marker: number): boolean =>
  marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;

const isStandalone = (marker: number): boolean =>
  marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8);

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
