import { z } from 'zod';
import { type DescribePipeline, PLAIN_INPUT } from '../definition.ts';
import { audioField } from '../shared/audio-header.ts';

/** The one graph of a `voice-activity` model. */
export const VOICE_FILE = 'model';

const milliseconds = (fallback: number) => z.number().min(0).max(60_000).default(fallback);

const optionsSchema = z.strictObject({
  threshold: z
    .number()
    .min(0.01)
    .max(0.99)
    .default(0.5)
    .describe('Frames with at least this probability are speech.'),
  min_speech_ms: milliseconds(250).describe('Shorter speech is left out.'),
  min_silence_ms: milliseconds(100).describe('A shorter silence does not end a segment.'),
  speech_pad_ms: milliseconds(30).describe('Added to a segment on both sides.'),
  max_speech_s: z
    .number()
    .min(1)
    .max(86_400)
    .nullable()
    .default(null)
    .describe('Longer segments are cut at their longest pause; null: never.'),
});

const outputSchema = z.object({
  segments: z.array(
    z.object({
      start: z.number().describe('In seconds from the beginning.'),
      end: z.number().describe('In seconds from the beginning.'),
      confidence: z.number().min(0).max(1).describe('Mean probability of speech.'),
    }),
  ),
  duration: z.number().describe('Of the whole recording, in seconds.'),
  speech: z.number().describe('Seconds of it that are speech.'),
});

export type VoiceActivityOptions = z.infer<typeof optionsSchema>;
export type VoiceActivityOutput = z.infer<typeof outputSchema>;

const INPUTS = ['input', 'state', 'sr'];

/** A hundredth of a second of it, as WAV. */
const SILENCE =
  'data:audio/wav;base64,UklGRnQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YVAAAACAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgA==';

export const describeVoiceActivity: DescribePipeline = (manifest, graphs) => {
  const graph = graphs[VOICE_FILE];
  if (manifest.files[VOICE_FILE] === undefined || graph === undefined) {
    throw new Error(`files: the voice-activity pipeline needs ${VOICE_FILE}, an .onnx file`);
  }
  const names = graph.inputs.map(({ name }) => name);
  if (INPUTS.some((name) => !names.includes(name))) {
    const found = names.join(', ');
    throw new Error(`files.${VOICE_FILE}: is no Silero network: it takes ${found}`);
  }
  return {
    ...PLAIN_INPUT,
    example: { audio: SILENCE },
    input: z.strictObject({
      audio: z.string().describe('A WAV, FLAC or MP3 file, as a data URL or an https URL.'),
    }),
    options: optionsSchema,
    output: outputSchema,
    media: { audio: audioField },
    batchKey: null, // one frame follows from the one before it
  };
};
