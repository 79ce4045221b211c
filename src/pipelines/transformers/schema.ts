import { z } from 'zod';
import { isPlainPath, type Manifest } from '../../contract/model.ts';
import { type DescribePipeline, PLAIN_INPUT } from '../definition.ts';
import { manifestOptions } from '../shared/manifest-options.ts';
import type { TransformersTask } from './task.ts';
import { automaticSpeechRecognition } from './tasks/automatic-speech-recognition.ts';
import { featureExtraction } from './tasks/feature-extraction.ts';
import { imageClassification } from './tasks/image-classification.ts';
import { textClassification } from './tasks/text-classification.ts';
import { textGeneration } from './tasks/text-generation.ts';
import { zeroShotClassification } from './tasks/zero-shot-classification.ts';

/** Every task, by the name that Hugging Face gives it. */
const TASKS: Readonly<Record<string, TransformersTask>> = {
  'automatic-speech-recognition': automaticSpeechRecognition,
  'feature-extraction': featureExtraction,
  'image-classification': imageClassification,
  'text-classification': textClassification,
  'text-generation': textGeneration,
  'zero-shot-classification': zeroShotClassification,
};

/** How the numbers of a graph are stored, and what the name of its file ends with. */
const GRAPH_SUFFIXES = {
  fp32: '',
  fp16: '_fp16',
  q8: '_quantized',
  int8: '_int8',
  uint8: '_uint8',
  q4: '_q4',
  bnb4: '_bnb4',
  q4f16: '_q4f16',
} as const;

export type Dtype = keyof typeof GRAPH_SUFFIXES;

export const DTYPES = Object.keys(GRAPH_SUFFIXES) as [Dtype, ...Dtype[]];
export const TASK_NAMES: readonly string[] = Object.keys(TASKS);

/** The manifest's options, as far as they are the same for each task. */
export interface TransformersSettings {
  readonly name: string;
  readonly task: TransformersTask;
  readonly dtype: Dtype;
  /** The options of the task. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** Reads the options of a manifest; throws an error that says which is wrong. */
export function settingsOf({ options }: Manifest): TransformersSettings {
  const name = String(options['task']);
  const task = Object.hasOwn(TASKS, name) ? TASKS[name] : undefined;
  if (task === undefined) {
    throw new Error(`options.task: must be one of ${TASK_NAMES.join(', ')}`);
  }
  const schema = z.strictObject({
    task: z.string(),
    dtype: z.enum(DTYPES).default('fp32'),
    batch_changes_answers: z.boolean().default(false),
    ...task.settings,
  });
  const parsed = manifestOptions({ options }, schema);
  return { name, task, dtype: parsed.dtype, options: parsed };
}

/** The file of a graph, as the library calls it. */
const graphFile = (graph: string, dtype: Dtype): string =>
  `onnx/${graph}${GRAPH_SUFFIXES[dtype]}.onnx`;

/** The files that a version of this task and dtype must have, and by which graphs it may have them. */
export function neededFiles(
  name: string,
  dtype: Dtype,
): { readonly always: readonly string[]; readonly graphs: readonly (readonly string[])[] } {
  const task = TASKS[name];
  const graphs = task?.graphs ?? [['model']];
  return {
    always: ['config.json', ...(task?.files ?? [])],
    graphs: graphs.map((each) => each.map((graph) => graphFile(graph, dtype))),
  };
}

/** Padded inputs of a length in the same power of two share a batch: the rest would mostly be padding. */
const bucketOf = (text: string): string => String(Math.ceil(Math.log2(text.length + 1)));

export const describeTransformers: DescribePipeline = (manifest) => {
  const settings = settingsOf(manifest);
  const { name, task, dtype } = settings;
  checkFiles(manifest, neededFiles(name, dtype));
  const { textOf } = task;
  const canBatch =
    textOf !== null && (dtype === 'fp32' || settings.options['batch_changes_answers']);
  if (textOf !== null && !canBatch && manifest.batching.max_size > 1) {
    const why = `${dtype} models answer differently in a batch than alone`;
    throw new Error(`batching.max_size: ${why}: set options.batch_changes_answers if that may be`);
  }
  return {
    ...PLAIN_INPUT,
    ...task.schema,
    batchKey: canBatch ? (input) => bucketOf(textOf(input)) : null,
  };
};

/** The library opens files by their names, so each must lie where it looks, and be known by its hash. */
function checkFiles({ files }: Manifest, { always, graphs }: ReturnType<typeof neededFiles>): void {
  for (const [role, { path, sha256 }] of Object.entries(files)) {
    if (!isPlainPath(path))
      throw new Error(`files.${role}: ${path} must lie in the folder of the version`);
    if (sha256 === undefined) throw new Error(`files.${role}: needs its sha256`);
  }
  const named = new Set(Object.values(files).map(({ path }) => path));
  const missing = always.filter((path) => !named.has(path));
  if (!graphs.some((each) => each.every((path) => named.has(path)))) {
    missing.push(graphs.map((each) => each.join(' and ')).join(', or '));
  }
  if (missing.length > 0) throw new Error(`files: must also name ${missing.join(', ')}`);
}
