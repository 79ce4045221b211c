/* What the library alone writes: folder, prompt and tokens as arguments; prints the text without the prompt. */
import { env, LogLevel, pipeline } from '@huggingface/transformers';

const [folder, prompt, tokens] = process.argv.slice(2);
env.allowRemoteModels = false;
env.logLevel = LogLevel.NONE;
const generate = await pipeline('text-generation', folder, {
  device: 'cpu',
  local_files_only: true,
});
const options = { max_new_tokens: Number(tokens), do_sample: false, return_full_text: false };
const [{ generated_text: text }] = await generate(prompt, options);
process.stdout.write(text);
