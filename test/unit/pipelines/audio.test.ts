import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvalidMediaError, type Media, MediaFile } from '../../../src/pipelines/definition.ts';
import { audioField } from '../../../src/pipelines/shared/audio-header.ts';
import { Resampler } from '../../../src/pipelines/shared/resampler.ts';
import { FRAME, Segmenter } from '../../../src/pipelines/voice-activity/segments.ts';
import { openMedia } from '../../../src/pipelines/shared/media.ts';
import { decodeWav } from '../../../src/pipelines/shared/wav.ts';
import { wav, type WavOptions } from '../../support/wav.ts';

const limits = { maxPixels: 1 };
const samples = [0, 0.5, -0.5, 0.25, -1, 0.999];

/** Read from memory, and the same from a file. */
async function decoded(bytes: Uint8Array): Promise<readonly (readonly number[][])[]> {
  const fromMemory = await samplesOf(bytes);
  const folder = await mkdtemp(join(tmpdir(), 'buzzer-wav-'));
  try {
    await writeFile(join(folder, 'x.wav'), bytes);
    expect(await samplesOf(new MediaFile(join(folder, 'x.wav')))).toEqual(fromMemory);
  } finally {
    await rm(folder, { recursive: true });
  }
  return fromMemory;
}

async function samplesOf(media: Media): Promise<readonly (readonly number[][])[]> {
  const file = await openMedia(media);
  const pieces: number[][][] = [];
  for await (const { channels } of decodeWav(file))
    pieces.push(channels.map((each) => Array.from(each)));
  await file.close();
  return pieces;
}

const INTEGER = (bytes: number): NonNullable<WavOptions['write']> => ({
  bytes,
  set: (view, at, value) => {
    const integer = Math.round(value * (2 ** (8 * bytes - 1) - 1));
    if (bytes === 1) view.setUint8(at, integer + 128);
    else for (let byte = 0; byte < bytes; byte++) view.setUint8(at + byte, integer >> (8 * byte));
  },
});

test.each<[string, Partial<WavOptions>, number]>([
  ['8 bits', { write: INTEGER(1) }, 1 / 64],
  ['16 bits', {}, 1e-4],
  ['24 bits', { write: INTEGER(3) }, 1e-6],
  ['32 bits', { write: INTEGER(4) }, 1e-6],
  [
    '32-bit floats',
    { tag: 3, write: { bytes: 4, set: (view, at, value) => view.setFloat32(at, value, true) } },
    1e-7,
  ],
  [
    '64-bit floats',
    { tag: 3, write: { bytes: 8, set: (view, at, value) => view.setFloat64(at, value, true) } },
    1e-7,
  ],
  ['a chunk of odd length before the data', { extra: Buffer.from('odd') }, 1e-4],
  ['a length that its writer did not know', { size: 0xffff_ffff }, 1e-4],
  ['a length of nothing', { size: 0 }, 1e-4],
])('WAV with %s is read', async (_name, options, tolerance) => {
  const [[channel = []] = []] = await decoded(wav(samples, { rate: 8000, ...options }));

  expect(channel).toHaveLength(samples.length);
  for (const [index, value] of channel.entries()) {
    expect(Math.abs(value - (samples[index] ?? 0))).toBeLessThanOrEqual(tolerance);
  }
});

test('WAV that was cut is refused', async () => {
  const cut = decoded(wav(samples, { rate: 8000, size: 1_000_000 }));
  await expect(cut).rejects.toThrow('is cut');
});

test('mu-law and A-law are read as ITU-T G.711 says', async () => {
  const bytes = {
    bytes: 1,
    set: (view: DataView, at: number, value: number) => view.setUint8(at, value),
  };
  const law = async (tag: number, codes: number[]) =>
    (await decoded(wav(codes, { rate: 8000, tag, write: bytes })))
      .flat(2)
      .map((value) => value * 2 ** 15);

  expect(await law(7, [0xff, 0x7f, 0x80, 0x00])).toEqual([0, -0, 32_124, -32_124]);
  expect(await law(6, [0xd5, 0x55, 0xaa, 0x2a])).toEqual([8, -8, 32_256, -32_256]);
});

test('channels are taken apart', async () => {
  expect(await decoded(wav([0, 1, 0, 1], { rate: 8000, channels: 2 }))).toEqual([
    [
      [0, 0],
      [expect.closeTo(1, 3), expect.closeTo(1, 3)],
    ],
  ]);
});

test('WAV, FLAC and MP3 are known by their first bytes', () => {
  expect(audioField.inspect(wav(samples, { rate: 8000 }), limits)).toBe('audio/wav');
  expect(audioField.inspect(readFileSync('test/fixtures/speech.flac'), limits)).toBe('audio/flac');
  const mp3 = readFileSync('examples/speech.mp3');
  expect(audioField.inspect(mp3, limits)).toBe('audio/mpeg');
  expect(audioField.inspect(mp3.subarray(0, 20), limits)).toBeNull(); // perhaps
  expect(() => audioField.inspect(Buffer.from('a letter to the editor'), limits)).toThrow(
    InvalidMediaError,
  );
  expect(() => audioField.inspect(Buffer.from('RIFFxxxxWEBPVP8 '), limits)).toThrow('no WAV');
});

test('an MP3 behind a large picture is known without it', () => {
  const tag = Buffer.from('4944330400000040000000000000', 'hex'); // ID3v2.4, a megabyte long
  expect(audioField.inspect(tag, limits)).toBe('audio/mpeg');
});

function resampled(input: Float32Array, from: number, pieces: number): Float32Array {
  const resampler = new Resampler(from, 16_000);
  const parts: Float32Array[] = [];
  for (let at = 0; at < input.length; at += pieces) {
    parts.push(resampler.push(input.subarray(at, at + pieces)));
  }
  return Float32Array.from([...parts, resampler.finish()].flatMap((part) => [...part]));
}

const tone = (rate: number, hertz: number, seconds = 0.5): Float32Array =>
  Float32Array.from({ length: rate * seconds }, (_, index) =>
    Math.sin((2 * Math.PI * hertz * index) / rate),
  );

test.each([8000, 11_025, 22_050, 44_100, 48_000, 96_000])('%p Hz becomes 16 kHz', (rate) => {
  const output = resampled(tone(rate, 1000), rate, 4096);
  const expected = tone(16_000, 1000);
  const middle = output.subarray(1000, -1000);
  const noise = middle.reduce(
    (sum, value, index) => sum + (value - (expected[index + 1000] ?? 0)) ** 2,
    0,
  );
  const signal = middle.reduce((sum, value) => sum + value ** 2, 0);

  expect(output).toHaveLength(8000);
  expect(10 * Math.log10(signal / noise)).toBeGreaterThan(80);
});

test('what 16 kHz cannot hold is filtered out', () => {
  const output = resampled(tone(48_000, 12_000), 48_000, 4096).subarray(1000, -1000);

  expect(Math.max(...output.map(Math.abs))).toBeLessThan(1e-3);
});

test('however the input is split, the output is the same', () => {
  const input = tone(44_100, 440, 0.2);

  expect(resampled(input, 44_100, 777)).toEqual(resampled(input, 44_100, input.length));
  expect(resampled(input, 44_100, 1)).toEqual(resampled(input, 44_100, input.length));
});

const rules = { threshold: 0.5, minSpeechMs: 250, minSilenceMs: 100, padMs: 30, maxSpeechS: null };
const segmentsOf = (
  frames: string,
  more: Partial<Omit<typeof rules, 'maxSpeechS'>> & { maxSpeechS?: number } = {},
) => {
  const segmenter = new Segmenter({ ...rules, ...more });
  for (const frame of frames) segmenter.push(frame === '#' ? 0.9 : frame === '-' ? 0.4 : 0.1);
  const found = segmenter.finish(frames.length * FRAME);
  return found.map(({ start, end }) => [start / FRAME, end / FRAME]);
};
const PAD = (30 * 16) / FRAME;

test('speech is a segment, a little longer than itself', () => {
  expect(segmentsOf('.....##########.....')).toEqual([[5 - PAD, 15 + PAD]]);
  expect(segmentsOf('##########')).toEqual([[0, 10]]);
});

test('a short silence, or a weak frame, does not end it; a short noise is none', () => {
  expect(segmentsOf('..#####..#####......')).toEqual([[2 - PAD, 14 + PAD]]);
  expect(segmentsOf('..#####-----#####......')).toEqual([[2 - PAD, 17 + PAD]]);
  expect(segmentsOf('..###..........')).toEqual([]);
});

test('two that would meet share the gap between them', () => {
  const [first = [], second = []] = segmentsOf('##########......##########....', { padMs: 100 });

  expect([first[1], second[0]]).toEqual([13, 13]);
});

test('speech that is too long is cut at its longest pause, or where it is', () => {
  expect(segmentsOf('#'.repeat(80), { maxSpeechS: 1 }).length).toBeGreaterThan(1);
  const [first = []] = segmentsOf(`${'#'.repeat(20)}....${'#'.repeat(20)}......`, {
    maxSpeechS: 1,
    minSilenceMs: 500,
  });
  expect(first[1]).toBeCloseTo(20 + PAD, 5);
});
