import type { Manifest } from '../contract/model.ts';
import type { DescribePipeline, MediaField, Pipeline, PipelineSettings } from './definition.ts';
import { describeDiffusion } from './diffusion/schema.ts';
import { DIFFUSION, DIFFUSION_CONFIGS } from './diffusion/layout.ts';
import { describeDocument } from './document/schema.ts';
import { describeOcr } from './ocr/schema.ts';
import { describeTensor } from './tensor/schema.ts';
import { imageField } from './shared/image-header.ts';
import { documentField } from './shared/document-header.ts';
import { audioField } from './shared/audio-header.ts';
import { describeTransformers } from './transformers/schema.ts';
import { describeVoiceActivity } from './voice-activity/schema.ts';

export {
  type Configs,
  EncodedOutput,
  type Graphs,
  type InferenceContext,
  ImagesOutput,
  InvalidFieldError,
  InvalidInputError,
  InvalidMediaError,
  type MediaField,
  MediaFile,
  type OutputFile,
  OutputTooLargeError,
  type PageForm,
  type MediaLimits,
  type Pipeline,
  type PipelineInput,
  type PipelineOutput,
  type PipelineSchema,
} from './definition.ts';

export { DIFFUSION };
export { toJson, toPacked } from './tensor/codec.ts';
export { TENSOR_FILE } from './tensor/schema.ts';
export { MAX_NEW_TOKENS } from './transformers/task.ts';
export { generatedSchema } from './transformers/tasks/text-generation.ts';
export { type Dtype, DTYPES, neededFiles, TASK_NAMES } from './transformers/schema.ts';

/** What a model does, as Hugging Face calls it; null: nothing that has a name there. */
export function taskOf({ pipeline, options }: Manifest): string | null {
  if (pipeline === 'diffusion') return DIFFUSION.task;
  return pipeline === 'transformers' ? String(options['task']) : null;
}

interface PipelineEntry {
  readonly describe: DescribePipeline;
  /** The roles of the JSON files that `describe` is given, as far as a manifest names them. */
  readonly configs?: readonly string[];
  readonly open: (settings: PipelineSettings) => Promise<Pipeline>;
}

/** What media can be, by kind. */
export const MEDIA_KINDS: Readonly<Record<string, MediaField>> = Object.fromEntries(
  [imageField, audioField, documentField].map((field) => [field.kind, field]),
);

/** Every pipeline. Adding one is a folder and one line here. */
export const PIPELINES: Readonly<Record<string, PipelineEntry>> = {
  diffusion: {
    describe: describeDiffusion,
    configs: DIFFUSION_CONFIGS,
    open: async (settings) =>
      await (await import('./diffusion/pipeline.ts')).openDiffusion(settings),
  },
  document: {
    describe: describeDocument,
    open: async (settings) => await (await import('./document/pipeline.ts')).openDocument(settings),
  },
  ocr: {
    describe: describeOcr,
    open: async (settings) => await (await import('./ocr/pipeline.ts')).openOcr(settings),
  },
  tensor: {
    describe: describeTensor,
    open: async (settings) => await (await import('./tensor/pipeline.ts')).openTensor(settings),
  },
  transformers: {
    describe: describeTransformers,
    open: async (settings) =>
      await (await import('./transformers/pipeline.ts')).openTransformers(settings),
  },
  'voice-activity': {
    describe: describeVoiceActivity,
    open: async (settings) =>
      await (await import('./voice-activity/pipeline.ts')).openVoiceActivity(settings),
  },
};
