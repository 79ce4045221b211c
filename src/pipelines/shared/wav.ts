/*
 * WAV: linear PCM, floats, A-law and mu-law (Microsoft's "Multimedia Programming Interface", 1991,
 * WAVE_FORMAT_EXTENSIBLE, and RF64 of EBU Tech 3306; the laws are ITU-T G.711's).
 */
import { InvalidInputError } from '../definition.ts';
import type { AudioPiece } from './audio-piece.ts';
import type { MediaReader } from './media.ts';

/** Sizes that programs write when their output is a pipe. They mean: until the end of the file. */
const UNKNOWN_SIZES = new Set([0, 0xffff_ffff, 0x7fff_ffff, 0x7fff_f000]);
const EXTENSIBLE = 0xfffe;

interface Format {
  readonly tag: number;
  readonly channels: number;
  readonly rate: number;
  /** Bytes of one sample of all channels. */
  readonly frameBytes: number;
}

type ReadSample = (view: DataView, at: number) => number;

const PIECE_FRAMES = 48_000;

/** About a second of sound at a time, and no more of the file; throws `InvalidInputError`. */
export async function* decodeWav(file: MediaReader): AsyncGenerator<AudioPiece> {
  const { format, start, end } = await findData(file);
  const { channels, rate, frameBytes } = format;
  const read = readerOf(format);
  const frames = Math.floor((end - start) / frameBytes);
  for (let first = 0; first < frames; first += PIECE_FRAMES) {
    const count = Math.min(PIECE_FRAMES, frames - first);
    const view = await file.read(start + first * frameBytes, count * frameBytes);
    const samples = Array.from({ length: channels }, (_, channel) => {
      const offset = (channel * frameBytes) / channels;
      return Float32Array.from({ length: count }, (_unused, index) =>
        read(view, offset + index * frameBytes),
      );
    });
    yield { channels: samples, rate, fraction: (first + count) / frames };
  }
}

/** Walks through the chunks until it finds the sound. */
async function findData(
  file: MediaReader,
): Promise<{ format: Format; start: number; end: number }> {
  const length = file.bytes;
  let format: Format | null = null;
  for (let at = 12; at + 8 <= length;) {
    const head = await file.read(at, 8);
    const size = head.getUint32(4, true);
    const body = at + 8;
    const name = nameIn(head);
    if (name === 'fmt ') {
      if (size < 16 || body + size > length) {
        throw new InvalidInputError('the WAV file is damaged');
      }
      format = readFormat(await file.read(body, Math.min(size, MAX_FORMAT_BYTES)));
    }
    if (name === 'data') {
      if (format === null) throw new InvalidInputError('the WAV file has no format');
      const end = UNKNOWN_SIZES.has(size) ? length : body + size;
      if (end <= length) return { format, start: body, end };
      const message = `the WAV file is cut: ${length - body} of its ${size} bytes of sound are there`;
      throw new InvalidInputError(message);
    }
    at = body + size + (size & 1); // padded to an even size
  }
  throw new InvalidInputError('the WAV file has no data');
}

const nameIn = (head: DataView): string =>
  String.fromCharCode(...[0, 1, 2, 3].map((offset) => head.getUint8(offset)));

/** Of an extensible format; others have fewer. */
const MAX_FORMAT_BYTES = 40;

function readFormat(view: DataView): Format {
  const tag = view.getUint16(0, true);
  const isExtensible = tag === EXTENSIBLE && view.byteLength >= MAX_FORMAT_BYTES;
  const format: Format = {
    tag: isExtensible ? view.getUint16(24, true) : tag,
    channels: view.getUint16(2, true),
    rate: view.getUint32(4, true),
    frameBytes: view.getUint16(12, true),
  };
  const { channels, rate, frameBytes } = format;
  const isWhole = channels > 0 && rate > 0 && frameBytes > 0 && frameBytes % channels === 0;
  if (!isWhole) throw new InvalidInputError('the format of the WAV file is damaged');
  return format;
}

/** How one sample is read, by the format's tag and the bytes of a sample. */
const READERS: Readonly<Record<string, ReadSample>> = {
  '1/1': (view, at) => (view.getUint8(at) - 128) / 128,
  '1/2': (view, at) => view.getInt16(at, true) / 2 ** 15,
  '1/3': (view, at) => (view.getUint16(at, true) + view.getInt8(at + 2) * 2 ** 16) / 2 ** 23,
  '1/4': (view, at) => view.getInt32(at, true) / 2 ** 31,
  '3/4': (view, at) => finite(view.getFloat32(at, true)),
  '3/8': (view, at) => finite(view.getFloat64(at, true)),
  '6/1': (view, at) => fromALaw(view.getUint8(at)),
  '7/1': (view, at) => fromMuLaw(view.getUint8(at)),
};

function readerOf({ tag, channels, frameBytes }: Format): ReadSample {
  const bytes = frameBytes / channels;
  const reader = READERS[`${tag}/${bytes}`];
  if (reader !== undefined) return reader;
  throw new InvalidInputError(`WAV of format ${tag} with ${bytes * 8} bits is not supported`);
}

const finite = (value: number): number => (Number.isFinite(value) ? value : 0);

function fromMuLaw(byte: number): number {
  const code = ~byte & 0xff;
  const magnitude = ((((code & 15) << 3) + 132) << ((code >> 4) & 7)) - 132;
  return (code & 0x80 ? -magnitude : magnitude) / 2 ** 15;
}

function fromALaw(byte: number): number {
  const code = byte ^ 0x55;
  const exponent = (code >> 4) & 7;
  const mantissa = ((code & 15) << 4) + 8;
  const magnitude = exponent === 0 ? mantissa : (mantissa + 256) << (exponent - 1);
  return (code & 0x80 ? magnitude : -magnitude) / 2 ** 15;
}
