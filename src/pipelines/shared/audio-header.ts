/*
 * Which kind of audio file begins like this. WAV: RIFF and RF64. FLAC: RFC 9639. MP3: ISO 11172-3
 * and 13818-3, perhaps behind an ID3v2 tag.
 */
import { InvalidMediaError, type MediaField } from '../definition.ts';

export type AudioKind = 'audio/wav' | 'audio/flac' | 'audio/mpeg';

const MIN_HEAD_BYTES = 12;
const ID3_HEADER_BYTES = 10;
/** How far behind a tag the first MP3 frame is looked for: some files begin with junk. */
const MAX_JUNK_BYTES = 64 * 1024;
const MAX_TAG_BYTES = 128 * 1024;
const MAX_TAGS = 4;

/** A media field that takes these audio files. */
export const audioField: MediaField = {
  kind: 'audio',
  accept: [
    'audio/wav',
    'audio/flac',
    'audio/mpeg',
    'audio/x-wav',
    'audio/wave',
    'audio/x-flac',
    'audio/mp3',
  ],
  inspect: (head) => kindOfAudio(head),
};

/** Null while more bytes are needed; throws `InvalidMediaError` when it can become none of them. */
export function kindOfAudio(head: Uint8Array): AudioKind | null {
  if (head.length < MIN_HEAD_BYTES) return null;
  const first = textAt(head, 0);
  if (first === 'RIFF' || first === 'RF64') {
    if (textAt(head, 8) === 'WAVE') return 'audio/wav';
    throw new InvalidMediaError('these bytes are RIFF, but no WAV audio');
  }
  const start = endOfTag(head);
  if (start > MAX_TAG_BYTES) return 'audio/mpeg'; // a tag with a large picture: the decoder checks what follows
  if (start + 4 > head.length) return null; // the tag is still arriving
  if (textAt(head, start) === 'fLaC') return 'audio/flac';
  if (findFrame(head, start) !== -1) return 'audio/mpeg';
  if (head.length < start + MAX_JUNK_BYTES && couldBecomeMp3(head, start)) return null;
  throw new InvalidMediaError('these bytes are no WAV, FLAC or MP3 audio');
}

/** Where the first MP3 frame begins: two headers follow each other; -1 when there is none. */
export function findFrame(bytes: Uint8Array, from: number): number {
  const limit = Math.min(bytes.length - 4, from + MAX_JUNK_BYTES);
  for (let at = from; at <= limit; at++) {
    if (bytes[at] !== 0xff) continue; // byte by byte, because junk may consist of these bytes alone
    const length = frameBytes(bytes, at);
    if (length > 0 && frameBytes(bytes, at + length) > 0) return at;
  }
  return -1;
}

/** Where an ID3v2 tag (or several) ends; 0 without one. */
export function endOfTag(bytes: Uint8Array): number {
  let end = 0;
  for (let tags = 0; tags < MAX_TAGS; tags++) {
    const isTag = end + ID3_HEADER_BYTES <= bytes.length && textAt(bytes, end).startsWith('ID3');
    if (!isTag) break;
    const [a = 0, b = 0, c = 0, d = 0] = bytes.subarray(end + 6, end + ID3_HEADER_BYTES);
    const hasFooter = ((bytes[end + 5] ?? 0) & 0x10) !== 0;
    end += ID3_HEADER_BYTES * (hasFooter ? 2 : 1) + ((a << 21) | (b << 14) | (c << 7) | d);
  }
  return end;
}

/** Behind a tag, or at a frame's first byte, the rest may still be on its way. */
const couldBecomeMp3 = (head: Uint8Array, start: number): boolean =>
  start > 0 || frameBytes(head, 0) > 0;

const KBPS_VERSION_1 = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const KBPS_VERSION_2 = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
const RATES = [44_100, 48_000, 32_000];

/** How long the layer III frame at this place is; 0 where no header of one stands. */
function frameBytes(bytes: Uint8Array, at: number): number {
  const second = bytes[at + 1] ?? 0;
  if (bytes[at] !== 0xff || (second & 0xe6) !== 0xe2) return 0;
  const third = bytes[at + 2] ?? 0;
  const version = (second >> 3) & 3; // 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
  const kbps = (version === 3 ? KBPS_VERSION_1 : KBPS_VERSION_2)[third >> 4] ?? 0;
  const rate = RATES[(third >> 2) & 3] ?? 0;
  if (version === 1 || kbps === 0 || rate === 0) return 0;
  const hertz = rate / (version === 3 ? 1 : version === 2 ? 2 : 4);
  const padding = (third >> 1) & 1;
  return Math.floor(((version === 3 ? 144 : 72) * kbps * 1000) / hertz) + padding;
}

const textAt = (bytes: Uint8Array, at: number): string =>
  String.fromCharCode(...bytes.subarray(at, at + 4));
