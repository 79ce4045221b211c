/* Speech in recordings, heard by a real model process. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Progress } from '../../../src/contract/prediction.ts';
import type { ProcessModelRuntime } from '../../../src/runtime/process-runtime.ts';
import { InvalidInputError } from '../../../src/runtime/runtime.ts';
import type { VoiceActivityOutput } from '../../../src/pipelines/voice-activity/schema.ts';
import { inferOn, openRuntime, outputOf } from '../../support/runtimes.ts';
import { wav } from '../../support/wav.ts';

let runtime: ProcessModelRuntime;

beforeAll(async () => {
  runtime = await openRuntime([resolve('models')]);
});
afterAll(async () => await runtime.close());

async function listen(
  audio: Uint8Array,
  options: Record<string, number> = {},
  onProgress: (progress: Progress) => void = () => {},
): Promise<VoiceActivityOutput> {
  const input = { audio: { kind: 'media' as const, bytes: audio } };
  const inference = await inferOn(runtime, 'voice-activity', {}, { input, options, onProgress });
  return outputOf(inference) as VoiceActivityOutput;
}

/** Where the two sentences of examples/speech.mp3 lie, as Silero's own package says. */
const SENTENCES = [
  [0.322, 2.942],
  [4.802, 7.614],
] as const;

test('two sentences are two segments, with their times', async () => {
  const told: number[] = [];
  const output = await listen(await readFile('examples/speech.mp3'), {}, ({ fraction }) => {
    told.push(fraction);
  });

  expect(output.duration).toBeCloseTo(7.884, 2);
  expect(output.segments).toHaveLength(2);
  for (const [index, [start, end]] of SENTENCES.entries()) {
    const segment = output.segments[index];
    expect(Math.abs((segment?.start ?? 0) - start)).toBeLessThan(0.033); // a frame
    expect(Math.abs((segment?.end ?? 0) - end)).toBeLessThan(0.033);
    expect(segment?.confidence).toBeGreaterThan(0.9);
  }
  expect(told).toEqual(told.toSorted((a, b) => a - b));
  expect(told.at(-1)).toBe(1);
});

test('FLAC is heard as well, and options change what is a segment', async () => {
  const flac = await readFile('test/fixtures/speech.flac');
  const output = await listen(flac);
  const strict = await listen(flac, { min_speech_ms: 5000 });

  expect(output.segments).toHaveLength(1);
  expect(output.segments[0]?.start).toBeLessThan(0.3);
  expect(strict.segments).toEqual([]);
});

test('silence, a tone and an empty recording hold no speech', async () => {
  const second = Array.from({ length: 16_000 }, (_, index) => Math.sin((index * 2764.6) / 16_000));
  for (const samples of [second.map(() => 0), second]) {
    expect(await listen(wav(samples, { rate: 16_000 }))).toMatchObject({
      segments: [],
      duration: 1,
    });
  }
});

test.each([
  [
    'a FLAC that was cut',
    async () => (await readFile('test/fixtures/speech.flac')).subarray(0, 9000),
  ],
  ['a WAV without sound', async () => wav([], { rate: 16_000 })],
  ['a WAV of an unknown format', async () => wav([0, 0], { rate: 16_000, tag: 85 })],
  ['a rate that cannot be', async () => wav([0, 0], { rate: 4_294_967_291 })],
  ['a sample a second', async () => wav([0, 0], { rate: 1 })],
  ['999 samples a second', async () => wav([0, 0], { rate: 999 })],
  ['a header and nothing else', async () => Buffer.from('fLaC'.padEnd(64, '\0'))],
])('%s is refused as input', async (_name, make) => {
  await expect(listen(await make())).rejects.toThrow(InvalidInputError);
});
