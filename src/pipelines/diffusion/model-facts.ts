/* What the files of a model say of it. Whatever does not fit is refused here, before anything is loaded. */
import { z } from 'zod';
import { firstMessage } from '../../contract/issue-message.ts';
import type { Manifest } from '../../contract/model.ts';
import { formatShape, type GraphSignature, type TensorSpec } from '../../contract/tensor.ts';
import type { Configs, Graphs } from '../definition.ts';
import {
  MODEL_INDEX,
  NEEDED,
  SCHEDULER_CONFIG,
  TEXT_ENCODER,
  TEXT_ENCODER_2,
  TOKENIZERS,
  UNET,
  UNET_CONFIG,
  VAE_CONFIG,
  VAE_DECODER,
  VAE_ENCODER,
} from './layout.ts';
import {
  parseSchedulerConfig,
  type SamplerName,
  samplerOf,
  type SchedulerConfig,
} from './samplers/config.ts';

/** What a pipeline needs to know of its model, whatever its family. */
export interface ModelFacts {
  /** The class of diffusers that the folder was made for. */
  readonly className: string;
  readonly scheduler: {
    readonly config: SchedulerConfig;
    /** What a run takes unless it says otherwise. */
    readonly name: SamplerName;
    /** What is done differently from what the folder says; null: nothing. */
    readonly note: string | null;
  };
  /** The graphs of its text encoders. */
  readonly encoders: readonly string[];
  /** Stable Diffusion XL: the last layer but one of each encoder, and the sizes as conditions. */
  readonly isXl: boolean;
  /** An absent negative prompt is nothing rather than an empty text. */
  readonly hasZeroNegative: boolean;
  readonly latentChannels: number;
  /** The latents that it was trained on. */
  readonly latentSize: { readonly width: number; readonly height: number };
  /** Latents of only one size: its graph was exported so. */
  readonly fixedSize: { readonly width: number; readonly height: number } | null;
  /** Pixels of a picture to one of its latents, in each direction. */
  readonly pixelsPerLatent: number;
  /** Widths and heights of latents must be multiples of it, because the network halves them. */
  readonly latentMultiple: number;
  readonly scalingFactor: number;
  readonly shiftFactor: number;
  /** How many numbers the guidance is given as (LCM); null: guidance needs a second run of the network. */
  readonly guidanceWidth: number | null;
  readonly canStartFromImage: boolean;
}

const indexSchema = z.looseObject({
  _class_name: z.string().max(200),
  force_zeros_for_empty_prompt: z.boolean().nullish(),
});

const unetSchema = z.looseObject({
  in_channels: z.int().min(1).max(64),
  sample_size: z
    .union([z.int().min(1).max(4096), z.array(z.int().min(1).max(4096)).length(2)])
    .nullish(),
  block_out_channels: z.array(z.int().min(1)).max(16).nullish(),
  time_cond_proj_dim: z.int().min(4).max(8192).nullish(),
});

const vaeSchema = z.looseObject({
  latent_channels: z.int().min(1).max(64).nullish(),
  scaling_factor: z.number().gt(0).nullish(),
  shift_factor: z.number().nullish(),
  block_out_channels: z.array(z.int().min(1)).min(1).max(6).nullish(),
});

const SD_SCALING_FACTOR = 0.18215;
const SD_VAE_BLOCKS = 4;
const SD_UNET_BLOCKS = 4;
const SD_LATENT_SIZE = 64;
/** The name of a component, which its folder has, too. */
const COMPONENT = /^_?[a-z0-9_]{1,64}$/;

/** Throws an error that says which file is wrong, and how. */
export function modelFacts(
  { files }: Pick<Manifest, 'files'>,
  graphs: Graphs,
  configs: Configs,
): ModelFacts {
  const missing = NEEDED.filter((path) => files[path] === undefined);
  if (missing.length > 0) {
    throw new Error(`files: a diffusion model also needs ${missing.join(', ')} (docs/images.md)`);
  }
  const index = parsed(MODEL_INDEX, indexSchema, configs);
  checkComponents(index);
  const unet = parsed(UNET_CONFIG, unetSchema, configs);
  const vae = parsed(VAE_CONFIG, vaeSchema, configs);
  const scheduler = schedulerOf(configs);
  const encoders = [TEXT_ENCODER, TEXT_ENCODER_2].filter((path) => files[path] !== undefined);
  for (const encoder of encoders) checkTokenizer(encoder, files);
  const network = graphs[UNET] as GraphSignature;
  const latentChannels = vae.latent_channels ?? 4;
  checkUnet(network, latentChannels, unet.in_channels);
  const isXl = network.inputs.some(({ name }) => name === 'text_embeds');
  for (const encoder of encoders) checkEncoder(encoder, graphs, isXl);
  if (isXl) checkPooled(encoders, graphs);
  checkGraph(VAE_DECODER, graphs, ['latent_sample'], 4);
  if (files[VAE_ENCODER] !== undefined) checkGraph(VAE_ENCODER, graphs, ['sample'], 4);
  const size = unet.sample_size ?? SD_LATENT_SIZE;
  const [latentHeight = SD_LATENT_SIZE, latentWidth = SD_LATENT_SIZE] = Array.isArray(size)
    ? size
    : [size, size];
  return {
    className: index._class_name,
    scheduler,
    encoders,
    isXl,
    hasZeroNegative: isXl && (index.force_zeros_for_empty_prompt ?? true),
    latentChannels,
    latentSize: { width: latentWidth, height: latentHeight },
    fixedSize: fixedSizeOf(network),
    pixelsPerLatent: 2 ** ((vae.block_out_channels?.length ?? SD_VAE_BLOCKS) - 1),
    latentMultiple: 2 ** ((unet.block_out_channels?.length ?? SD_UNET_BLOCKS) - 1),
    scalingFactor: vae.scaling_factor ?? SD_SCALING_FACTOR,
    shiftFactor: vae.shift_factor ?? 0,
    guidanceWidth: guidanceWidthOf(network, unet.time_cond_proj_dim ?? null),
    canStartFromImage: files[VAE_ENCODER] !== undefined,
  };
}

function parsed<T>(path: string, schema: z.ZodType<T>, configs: Configs): T {
  const result = schema.safeParse(configs[path]);
  if (result.success) return result.data;
  throw new Error(`${path} ${firstMessage(result.error.issues)}`);
}

/** The index names components, of which each has a folder of that name: nothing else is ever opened. */
function checkComponents(index: Readonly<Record<string, unknown>>): void {
  const other = Object.keys(index).find((name) => !COMPONENT.test(name));
  if (other === undefined) return;
  throw new Error(`${MODEL_INDEX}: ${JSON.stringify(other.slice(0, 100))} is no component`);
}

function schedulerOf(configs: Configs): ModelFacts['scheduler'] {
  const json = configs[SCHEDULER_CONFIG];
  try {
    const config = parseSchedulerConfig(json);
    return { config, ...samplerOf(config, json) };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${SCHEDULER_CONFIG} ${why}`, { cause: error });
  }
}

function checkTokenizer(encoder: string, files: Manifest['files']): void {
  const folder = TOKENIZERS[encoder] ?? '';
  const has = (file: string): boolean => files[`${folder}/${file}`] !== undefined;
  if (
    has('tokenizer_config.json') &&
    (has('tokenizer.json') || (has('vocab.json') && has('merges.txt')))
  )
    return;
  const wanted = 'tokenizer_config.json, and tokenizer.json or vocab.json with merges.txt';
  throw new Error(`files: ${encoder} needs ${folder}/ with ${wanted}`);
}

const UNET_INPUTS = ['sample', 'timestep', 'encoder_hidden_states'] as const;
const XL_INPUTS = ['text_embeds', 'time_ids'] as const;
const LCM_INPUT = 'timestep_cond';

function checkUnet(network: GraphSignature, latentChannels: number, inChannels: number): void {
  const names = network.inputs.map(({ name }) => name);
  const lacks = UNET_INPUTS.filter((name) => !names.includes(name));
  if (lacks.length > 0) throw new Error(`${UNET}: it has no input ${lacks.join(', ')}`);
  const known: readonly string[] = [...UNET_INPUTS, ...XL_INPUTS, LCM_INPUT];
  const other = names.filter((name) => !known.includes(name));
  if (other.length > 0) {
    throw new Error(`${UNET}: it needs ${other.join(', ')}, which only other kinds of models have`);
  }
  const sample = specOf(UNET, network, 'sample');
  checkRank(UNET, sample, 4);
  checkRank(UNET, specOf(UNET, network, 'encoder_hidden_states'), 3);
  const [batch, channels] = sample.shape;
  const given = typeof channels === 'number' ? channels : inChannels;
  if (given !== latentChannels) {
    throw new Error(
      `${UNET}: it takes ${given} channels, but the latents of ${VAE_CONFIG} have ${latentChannels} (models for inpainting are not served)`,
    );
  }
  if (typeof batch === 'number') {
    throw new Error(
      `${UNET}: its sample is ${formatShape(sample.shape)}: export it for any batch size`,
    );
  }
}

function checkEncoder(encoder: string, graphs: Graphs, isXl: boolean): void {
  checkGraph(encoder, graphs, ['input_ids'], 2);
  const names = (graphs[encoder]?.outputs ?? []).map(({ name }) => name);
  const layers = names.filter((name) => /^hidden_states\.\d+$/.test(name));
  if (isXl ? layers.length > 1 : names.includes('last_hidden_state')) return;
  const wanted = isXl ? 'hidden_states.0, hidden_states.1 and so on' : 'last_hidden_state';
  throw new Error(`${encoder}: it has no output ${wanted}, but ${names.join(', ')}`);
}

/** The last encoder of an XL model also gives the prompt as a whole. */
function checkPooled(encoders: readonly string[], graphs: Graphs): void {
  const last = encoders.at(-1) ?? TEXT_ENCODER_2;
  if (graphs[last]?.outputs.some(({ name }) => name === 'text_embeds') === true) return;
  throw new Error(`${last}: it has no output text_embeds, which ${UNET} needs`);
}

/** How many numbers tell the network the guidance; null: it has no input for them. */
function guidanceWidthOf(network: GraphSignature, configured: number | null): number | null {
  const input = network.inputs.find(({ name }) => name === LCM_INPUT);
  if (input === undefined) return null;
  const [, own] = input.shape;
  const width = typeof own === 'number' ? own : configured;
  if (width !== null) return width;
  throw new Error(`${UNET_CONFIG} time_cond_proj_dim: is missing, and ${UNET} has ${LCM_INPUT}`);
}

function checkGraph(path: string, graphs: Graphs, inputs: readonly string[], rank: number): void {
  const graph = graphs[path];
  if (graph === undefined) throw new Error(`${path} is no graph`);
  for (const name of inputs) checkRank(path, specOf(path, graph, name), rank);
  const other = graph.inputs.filter(({ name }) => !inputs.includes(name));
  if (other.length === 0) return;
  throw new Error(`${path}: it also needs ${other.map(({ name }) => name).join(', ')}`);
}

function specOf(path: string, { inputs }: GraphSignature, name: string): TensorSpec {
  const found = inputs.find((each) => each.name === name);
  if (found === undefined) throw new Error(`${path}: it has no input ${name}`);
  return found;
}

function checkRank(path: string, { name, shape }: TensorSpec, rank: number): void {
  if (shape.length === rank) return;
  throw new Error(`${path}: ${name} is ${formatShape(shape)}, but must have ${rank} dimensions`);
}

function fixedSizeOf(network: GraphSignature): ModelFacts['fixedSize'] {
  const [, , height, width] = specOf(UNET, network, 'sample').shape;
  if (typeof height !== 'number' || typeof width !== 'number') return null;
  return { width, height };
}
