/*
 * The folder of a diffusion model, as diffusers and optimum write it: one folder for each component, each with a
 * model.onnx (https://huggingface.co/docs/optimum/exporters/onnx/overview). The role of each file is its path there.
 */
import { dirname } from 'node:path';

export const UNET = 'unet/model.onnx';
export const TEXT_ENCODER = 'text_encoder/model.onnx';
export const TEXT_ENCODER_2 = 'text_encoder_2/model.onnx';
export const VAE_DECODER = 'vae_decoder/model.onnx';
export const VAE_ENCODER = 'vae_encoder/model.onnx';
export const SAFETY_CHECKER = 'safety_checker/model.onnx';

export const MODEL_INDEX = 'model_index.json';
export const SCHEDULER_CONFIG = 'scheduler/scheduler_config.json';
export const UNET_CONFIG = 'unet/config.json';
export const SAFETY_CONFIG = 'feature_extractor/preprocessor_config.json';
export const VAE_CONFIG = 'vae_decoder/config.json';

/** What each text encoder has its tokens from. */
export const TOKENIZERS: Readonly<Record<string, string>> = {
  [TEXT_ENCODER]: 'tokenizer',
  [TEXT_ENCODER_2]: 'tokenizer_2',
};

/** What a folder without it cannot be served for. */
export const NEEDED: readonly string[] = [
  MODEL_INDEX,
  SCHEDULER_CONFIG,
  UNET,
  UNET_CONFIG,
  TEXT_ENCODER,
  VAE_DECODER,
  VAE_CONFIG,
];

/** The files that the pipeline describes itself by. */
export const DIFFUSION_CONFIGS: readonly string[] = [
  MODEL_INDEX,
  SCHEDULER_CONFIG,
  UNET_CONFIG,
  VAE_CONFIG,
];

const TOKENIZER_FILES = [
  'tokenizer_config.json',
  'tokenizer.json',
  'vocab.json',
  'merges.txt',
] as const;

/** Every file of the layout, of which a model may lack those that are not `NEEDED`. */
const FILES: readonly string[] = [
  ...NEEDED,
  TEXT_ENCODER_2,
  VAE_ENCODER,
  SAFETY_CHECKER,
  SAFETY_CONFIG,
  ...Object.values(TOKENIZERS).flatMap((folder) =>
    TOKENIZER_FILES.map((file) => `${folder}/${file}`),
  ),
];

/** For whoever looks for the files of such a model. */
export const DIFFUSION = {
  /** What such models do, as Hugging Face calls it. */
  task: 'text-to-image',
  /** Says that a folder is one. */
  index: MODEL_INDEX,
  needed: NEEDED,
  files: FILES,
  graphs: FILES.filter((path) => path.endsWith('.onnx')),
  /** The files that hold the weights of a graph, among the paths there are: `model.onnx_data` and the like. */
  weightsOf(graph: string, paths: readonly string[]): readonly string[] {
    if (!graph.endsWith('.onnx')) return [];
    const named = paths.filter(
      (path) => path.startsWith(graph) && /^[._]data(?:[._]\d+)?$/.test(path.slice(graph.length)),
    );
    return named.length > 0
      ? named
      : paths.filter((path) => path === `${dirname(graph)}/weights.pb`);
  },
} as const;
