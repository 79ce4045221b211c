/*
 * Text generation without Buzzer: the library's own pipeline with a streamer, in a process of its own. Asked for so
 * many tokens, it answers with tokens a second.
 */
import { env, LogLevel, pipeline, TextStreamer } from '@huggingface/transformers';

const [folder = ''] = process.argv.slice(2);
env.allowRemoteModels = false;
env.logLevel = LogLevel.NONE;
const generate = await pipeline('text-generation', folder, {
  device: 'cpu',
  local_files_only: true,
  session_options: { intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential' },
});

process.on('message', (tokens) => {
  void (async () => {
    const pieces: string[] = [];
    const streamer = new TextStreamer(generate.tokenizer, {
      skip_prompt: true,
      callback_function: (text) => void pieces.push(text),
    });
    const startedAt = performance.now();
    await generate('Once upon a time', {
      max_new_tokens: Number(tokens),
      do_sample: false,
      streamer,
    });
    process.send?.(Number(tokens) / ((performance.now() - startedAt) / 1000));
  })();
});
process.send?.('ready');
