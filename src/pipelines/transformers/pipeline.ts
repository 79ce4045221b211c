/*
 * Runs models of Hugging Face's hub with its own library, transformers.js, on files that lie in the version's
 * folder. The library opens files by name and would fetch what is missing, so it is given a folder whose files are
 * all named in the manifest, and no network.
 */
import { readdir, readFile, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { env, LogLevel, pipeline, RawImage, Tensor } from '@huggingface/transformers';
import {
  InvalidInputError,
  type Pipeline,
  type PipelineSettings,
  type Media,
} from '../definition.ts';
import { decodeMono } from '../shared/audio.ts';
import { SAMPLE_RATE } from '../shared/audio-piece.ts';
import { decodeImage } from '../shared/image.ts';
import { settingsOf } from './schema.ts';
import type { LibraryPipeline, Tools } from './task.ts';

env.allowRemoteModels = false;
env.useFSCache = false;
env.logLevel = LogLevel.NONE; // a failed run would print its input
env.fetch = async () => await Promise.reject(new Error('a model process has no network'));

const MAX_AUDIO_S = 3600;
const CHAT_TEMPLATE = 'chat_template.jinja';

/** What the library may look for beside a graph. */
const OPENED = /\.(?:json|jinja|txt|model|onnx_data.*)$/;

export async function openTransformers(settings: PipelineSettings): Promise<Pipeline> {
  const { manifest, files, device, limits } = settings;
  const { name, task, dtype, options } = settingsOf(manifest);
  const paths = new Set(Object.values(manifest.files).map(({ path }) => path));
  const folder = await folderOf(manifest.files, files);
  const pipe = (await pipeline(name as 'text-classification', folder, {
    dtype,
    device: device === 'webgpu' ? 'webgpu' : device.startsWith('cuda') ? 'cuda' : 'cpu',
    local_files_only: true,
    session_options: {
      intraOpNumThreads: manifest.resources.threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
    },
  })) as unknown as LibraryPipeline;
  if (paths.has(CHAT_TEMPLATE)) {
    // The library reads it for models of several media only.
    const { tokenizer } = pipe as unknown as { tokenizer: { chat_template?: unknown } };
    tokenizer.chat_template = await readFile(join(folder, CHAT_TEMPLATE), 'utf8');
  }
  const readImage = async (media: Media) => {
    const { data, width, height } = await decodeImage(media, limits);
    return new RawImage(data, width, height, 3);
  };
  const toTokens = (ids: readonly number[]) => ({
    input_ids: new Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]),
    attention_mask: new Tensor('int64', new BigInt64Array(ids.length).fill(1n), [1, ids.length]),
  });
  const tools: Tools = { pipe, settings: options, readImage, readAudio, toTokens };
  return {
    async infer(item, context) {
      const [output = null] = await task.run([item], tools, [context]);
      return output;
    },
    ...(task.textOf === null
      ? {}
      : { inferBatch: async (items, contexts) => await task.run(items, tools, contexts) }),
  };
}

/** All samples of a recording: networks that write text hear it as a whole. */
async function readAudio(media: Media): Promise<Float32Array> {
  const pieces: Float32Array[] = [];
  let length = 0;
  for await (const { samples } of decodeMono(media)) {
    pieces.push(samples);
    length += samples.length;
    if (length <= MAX_AUDIO_S * SAMPLE_RATE) continue;
    throw new InvalidInputError(`the recording is longer than ${MAX_AUDIO_S / 60} minutes`);
  }
  if (length === 0) throw new InvalidInputError('the recording has no sound');
  const all = new Float32Array(length);
  let at = 0;
  for (const samples of pieces) {
    all.set(samples, at);
    at += samples.length;
  }
  return all;
}

/** The folder of the version. Throws when there is something that the library may open and the manifest does not name. */
async function folderOf(
  named: PipelineSettings['manifest']['files'],
  files: PipelineSettings['files'],
): Promise<string> {
  const paths = new Map(Object.entries(named).map(([role, { path }]) => [path, files[role] ?? '']));
  const folder = dirname(paths.get('config.json') ?? '');
  const realFolder = await realpath(folder);
  for (const path of paths.keys()) {
    const isWithin = (await realpath(join(folder, path))) === join(realFolder, path);
    if (!isWithin) throw new Error(`${path} is a link: the file itself must lie in the folder`);
  }
  for (const part of new Set([...paths.keys()].map((path) => dirname(path)))) {
    for (const file of await readdir(join(folder, part))) {
      const path = join(part, file);
      if (path === 'model.json' || !OPENED.test(file) || paths.has(path)) continue;
      throw new Error(`${path} lies in the folder, and files does not name it`);
    }
  }
  return folder;
}
