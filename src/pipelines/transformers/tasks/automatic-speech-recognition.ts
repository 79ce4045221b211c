import type { Media } from '../../definition.ts';
import { z } from 'zod';
import { audioField } from '../../shared/audio-header.ts';
import { TOKENIZER_FILES, type TransformersTask } from '../task.ts';

/** What is said in a recording. */
export const automaticSpeechRecognition: TransformersTask = {
  settings: {},
  files: ['preprocessor_config.json', ...TOKENIZER_FILES],
  // CTC networks are one graph; those that write token after token, such as Whisper, are two.
  graphs: [['model'], ['encoder_model', 'decoder_model_merged']],
  schema: {
    input: z.strictObject({
      inputs: z.string().describe('A WAV, FLAC or MP3 file, as a data URL or an https URL.'),
    }),
    options: z.strictObject({}),
    output: z.object({ text: z.string() }),
    media: { inputs: audioField },
    example: null,
  },
  textOf: null,
  async run(items, { pipe, readAudio }) {
    return await Promise.all(
      items.map(async ({ input }) => {
        const samples = await readAudio(input['inputs'] as Media);
        const { text } = (await pipe(samples)) as { readonly text: string };
        return { text };
      }),
    );
  },
};
