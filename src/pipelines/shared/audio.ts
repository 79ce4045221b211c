/*
 * Audio files → 16 kHz mono, piece by piece. Of a WAV file, which may be large, only a piece is in memory; the decoders
 * of FLAC and MP3 take all bytes.
 */
import { messageOf } from '../../contract/failure.ts';
import { InvalidInputError, type Media } from '../definition.ts';
import { type AudioKind, kindOfAudio } from './audio-header.ts';
import { type AudioPiece, SAMPLE_RATE } from './audio-piece.ts';
import { decodeFlac, decodeMp3 } from './compressed.ts';
import { bytesOf, openMedia } from './media.ts';
import { Resampler } from './resampler.ts';
import { decodeWav } from './wav.ts';

/** What kind of audio it is can be told from so many bytes. */
const MAX_HEAD_BYTES = 1024 ** 2;
/** There is no speech at lower rates, and a small file would become hours of sound. */
const MIN_RATE = 1000;

export interface MonoPiece {
  readonly samples: Float32Array;
  readonly fraction: number;
}

/** Decodes, mixes down and resamples a file; throws `InvalidInputError`. */
export async function* decodeMono(media: Media): AsyncGenerator<MonoPiece> {
  let resampler: Resampler | null = null;
  let rate = 0;
  for await (const piece of decode(media)) {
    if (resampler === null) {
      rate = piece.rate;
      if (rate < MIN_RATE) {
        const message = `the audio file has ${rate} samples a second: at least ${MIN_RATE} are needed`;
        throw new InvalidInputError(message);
      }
      resampler = new Resampler(rate, SAMPLE_RATE);
    }
    if (piece.rate !== rate) continue; // junk that looks like a frame, because a file has one rate
    yield { samples: resampler.push(mixDown(piece.channels)), fraction: piece.fraction };
  }
  if (resampler === null) throw new InvalidInputError('the audio file holds no sound');
  yield { samples: resampler.finish(), fraction: 1 };
}

async function* decode(media: Media): AsyncGenerator<AudioPiece> {
  const file = await openMedia(media);
  try {
    const head = await file.read(0, MAX_HEAD_BYTES);
    switch (kindOf(new Uint8Array(head.buffer, head.byteOffset, head.byteLength))) {
      case 'audio/wav':
        return yield* decodeWav(file);
      case 'audio/flac':
        return yield* decodeFlac(await bytesOf(media));
      case 'audio/mpeg':
        return yield* decodeMp3(await bytesOf(media));
      case null:
        throw new InvalidInputError('the audio file ends before its header does');
    }
  } finally {
    await file.close();
  }
}

function kindOf(bytes: Uint8Array): AudioKind | null {
  try {
    return kindOfAudio(bytes);
  } catch (error) {
    throw new InvalidInputError(messageOf(error), { cause: error });
  }
}

function mixDown(channels: readonly Float32Array[]): Float32Array {
  const [first = new Float32Array()] = channels;
  if (channels.length === 1) return first;
  return first.map((_, index) => {
    const sum = channels.reduce((total, channel) => total + (channel[index] ?? 0), 0);
    return sum / channels.length;
  });
}
