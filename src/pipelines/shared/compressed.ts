/*
 * MP3 by mpg123 and FLAC by libFLAC, both compiled to WebAssembly and run in this thread: an endless
 * loop in either ends with the run timeout, as any run does.
 */
import { FLACDecoder } from '@wasm-audio-decoders/flac';
import { MPEGDecoder } from 'mpg123-decoder';
import { InvalidInputError } from '../definition.ts';
import type { AudioPiece } from './audio-piece.ts';
import { endOfTag, findFrame } from './audio-header.ts';

const PIECE_BYTES = 16 * 1024; // a decoder reports only the rate of its last frame
const STREAMINFO_OFFSET = 8; // behind `fLaC` and the header of the first block

/** Throws `InvalidInputError`. */
export async function* decodeMp3(bytes: Uint8Array): AsyncGenerator<AudioPiece> {
  const start = findFrame(bytes, endOfTag(bytes));
  if (start === -1) throw new InvalidInputError('the file holds no MP3 frames');
  const decoder = new MPEGDecoder();
  await decoder.ready;
  try {
    for (let at = start; at < bytes.length; at += PIECE_BYTES) {
      const end = Math.min(at + PIECE_BYTES, bytes.length);
      const decoded = quietly(() => decoder.decode(bytes.subarray(at, end)));
      if (decoded.samplesDecoded > 0) yield pieceOf(decoded, end / bytes.length);
    }
  } finally {
    decoder.free();
  }
}

/** Throws `InvalidInputError`, also when less comes out than the file says it holds. */
export async function* decodeFlac(bytes: Uint8Array): AsyncGenerator<AudioPiece> {
  const start = endOfTag(bytes);
  const expected = totalSamples(bytes, start);
  const decoder = new FLACDecoder();
  await decoder.ready;
  let samples = 0;
  try {
    for (let at = start; at < bytes.length; at += PIECE_BYTES) {
      const end = Math.min(at + PIECE_BYTES, bytes.length);
      const decoded = await decoder.decode(bytes.subarray(at, end));
      samples += decoded.samplesDecoded;
      if (decoded.samplesDecoded > 0) yield pieceOf(decoded, end / bytes.length);
    }
    const rest = await decoder.flush();
    samples += rest.samplesDecoded;
    if (rest.samplesDecoded > 0) yield pieceOf(rest, 1);
  } finally {
    decoder.free();
  }
  if (samples >= expected) return;
  throw new InvalidInputError(
    `the FLAC file is damaged: ${samples} of its ${expected} samples can be decoded`,
  );
}

const pieceOf = (
  { channelData, sampleRate }: { channelData: readonly Float32Array[]; sampleRate: number },
  fraction: number,
): AudioPiece => ({ channels: channelData, rate: sampleRate, fraction });

/** The number of samples that the header names; 0 when its writer did not know. */
function totalSamples(bytes: Uint8Array, start: number): number {
  const [high = 0, ...low] = bytes.subarray(
    start + STREAMINFO_OFFSET + 13,
    start + STREAMINFO_OFFSET + 18,
  );
  return low.reduce((sum, byte) => sum * 256 + byte, high & 15);
}

/** mpg123 prints a line for each damaged frame. */
function quietly<T>(run: () => T): T {
  const { error } = console;
  console.error = () => {};
  try {
    return run();
  } finally {
    console.error = error;
  }
}
