/* Small language models for tests, like examples/models/babble, which `npm run build` writes. */
import { type LanguageModelOptions, languageModelFiles } from '../../src/onnx/language-model.ts';
import { addTransformersModel } from './transformers.ts';

export interface TestLanguageModel extends Partial<LanguageModelOptions> {
  readonly tokenDelayMs?: number;
  readonly hasChatTemplate?: boolean;
  readonly manifest?: object;
}

/** Makes version 1 of a language model. */
export async function addLanguageModel(
  folder: string,
  name: string,
  options: TestLanguageModel = {},
): Promise<void> {
  const { context = 1024, work = 0, tokenDelayMs = 0, hasChatTemplate = true } = options;
  const files = { ...languageModelFiles({ context, work }) };
  if (!hasChatTemplate) {
    const file = 'tokenizer_config.json';
    const { chat_template: _template, ...rest } = files[file] as Record<string, unknown>;
    files[file] = rest;
  }
  const task = { task: 'text-generation', token_delay_ms: tokenDelayMs };
  await addTransformersModel(folder, name, task, files, options.manifest);
}
