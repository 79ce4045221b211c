/*
 * A diffusion model whose picture is a number: its network answers with a mean of what it is told, whatever the noise,
 * in one step, and its autoencoder shows that as a shade of grey.
 */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  ELEMENT,
  floats,
  integerAttribute,
  integers,
  integersAttribute,
  modelBytes,
  type Node,
  type Weights,
} from '../../src/onnx/writer.ts';

export interface NumberModel {
  /** Two encoders, and the sizes as conditions. */
  readonly isXl?: boolean;
  /** The guidance as an input of so many numbers. */
  readonly guidanceWidth?: number;
  /** The types of exports from before: half precision, and whole time steps in a list of one. */
  readonly isOld?: boolean;
  /** Finds bright pictures. */
  readonly hasChecker?: boolean;
  /** Its network gives no numbers. */
  readonly isBroken?: boolean;
  /** How many blocks the config of its autoencoder has; 1 is right. */
  readonly vaeBlocks?: number;
  /** The only length of a prompt that its encoder takes. */
  readonly promptLength?: number;
  /** Changes of its tokenizer's config. */
  readonly tokenizer?: object;
  readonly manifest?: object;
}

/** Of the two encoders of XL; each of their layers says one time more. */
export const XL_SCALES = [0.02, 0.05] as const;
export const POOLED_SCALE = 3;
export const TIME_SCALE = 0.02;
const IDS_SCALE = 1e-3;
const LAYERS = 3;

/** Writes the model into a folder. */
export async function addNumberModel(folder: string, model: NumberModel): Promise<void> {
  const { isXl = false, guidanceWidth, hasChecker = false } = model;
  const write = async (path: string, content: Uint8Array | object) => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    const isBytes = content instanceof Uint8Array;
    await writeFile(join(folder, path), isBytes ? content : JSON.stringify(content));
  };
  const className = isXl ? 'StableDiffusionXLPipeline' : 'StableDiffusionPipeline';
  await write('model_index.json', { _class_name: className });
  await write('model.json', { pipeline: 'diffusion', ...model.manifest });
  await write('scheduler/scheduler_config.json', {
    _class_name: 'EulerDiscreteScheduler',
    prediction_type: 'sample',
    beta_start: 0.00085,
    beta_end: 0.012,
    beta_schedule: 'scaled_linear',
    timestep_spacing: 'trailing',
  });
  await write('unet/config.json', {
    in_channels: 4,
    sample_size: 8,
    block_out_channels: [1],
    time_cond_proj_dim: guidanceWidth ?? null,
  });
  await write('vae_decoder/config.json', {
    latent_channels: 4,
    scaling_factor: 1,
    block_out_channels: Array<number>(model.vaeBlocks ?? 1).fill(1),
  });
  await write('unet/model.onnx', networkGraph(model));
  await write('vae_decoder/model.onnx', decoderGraph(model));
  const tokenizer = 'test/fixtures/diffusion/tiny/tokenizer';
  for (const [index, suffix] of ['', ...(isXl ? ['_2'] : [])].entries()) {
    await cp(tokenizer, join(folder, `tokenizer${suffix}`), { recursive: true });
    const config = JSON.parse(
      await readFile(join(tokenizer, 'tokenizer_config.json'), 'utf8'),
    ) as object;
    const changed = { ...config, ...model.tokenizer };
    await write(`tokenizer${suffix}/tokenizer_config.json`, changed);
    await write(
      `text_encoder${suffix}/model.onnx`,
      encoderGraph(isXl ? (XL_SCALES[index] ?? 1) : 1, model),
    );
  }
  if (hasChecker) await write('safety_checker/model.onnx', checkerGraph());
}

const scalar = (name: string, value: number): Weights => floats(name, [], Float32Array.of(value));

const mean = (input: string, output: string, ...axes: readonly number[]): Node => ({
  op: 'ReduceMean',
  inputs: [input],
  outputs: [output],
  attributes: [integersAttribute('axes', ...axes), integerAttribute('keepdims', 1)],
});

const cast = (input: string, output: string, type: number): Node => ({
  op: 'Cast',
  inputs: [input],
  outputs: [output],
  attributes: [integerAttribute('to', type)],
});

function networkGraph(model: NumberModel): Uint8Array {
  const { isXl = false, guidanceWidth, isOld = false, isBroken = false } = model;
  const type = isOld ? ELEMENT.FP16 : ELEMENT.FP32;
  const terms = ['told'];
  const nodes: Node[] = [
    cast('sample', 'noise', ELEMENT.FP32),
    { op: 'Mul', inputs: ['noise', 'nothing'], outputs: ['sum0'] },
    cast('encoder_hidden_states', 'states', ELEMENT.FP32),
    mean('states', 'mean', 1, 2),
    { op: 'Unsqueeze', inputs: ['mean', 'last'], outputs: ['told'] },
  ];
  const shape = ['batch', 4, 'height', 'width'];
  const inputs = [
    { name: 'sample', type, shape },
    {
      name: 'timestep',
      type: isOld ? ELEMENT.INT64 : ELEMENT.FP32,
      shape: isOld ? [1] : [],
    },
    { name: 'encoder_hidden_states', type, shape: ['batch', 'tokens', 'states'] },
  ];
  const rows = [
    ...(isXl ? (['text_embeds', 'time_ids'] as const) : []),
    ...(guidanceWidth === undefined ? [] : (['timestep_cond'] as const)),
  ];
  for (const name of rows) {
    inputs.push({ name, type: ELEMENT.FP32, shape: ['batch', `${name}_width`] });
    nodes.push(
      mean(name, `${name}_mean`, 1),
      { op: 'Mul', inputs: [`${name}_mean`, `${name}_scale`], outputs: [`${name}_scaled`] },
      { op: 'Unsqueeze', inputs: [`${name}_scaled`, 'lastTwo'], outputs: [`${name}_term`] },
    );
    terms.push(`${name}_term`);
  }
  for (const [index, term] of terms.entries()) {
    nodes.push({ op: 'Add', inputs: [`sum${index}`, term], outputs: [`sum${index + 1}`] });
  }
  // The time must be an input that is used, and changes nothing.
  nodes.push(
    cast('timestep', 'time', ELEMENT.FP32),
    { op: 'Mul', inputs: ['time', 'nothing'], outputs: ['no_time'] },
    {
      op: 'ReduceSum',
      inputs: ['no_time'],
      outputs: ['no_time_sum'],
      attributes: [integerAttribute('keepdims', 0)],
    },
    { op: 'Add', inputs: [`sum${terms.length}`, 'no_time_sum'], outputs: ['whole'] },
    cast('whole', 'out_sample', type),
  );
  return modelBytes({
    name: 'network',
    nodes,
    inputs,
    outputs: [{ name: 'out_sample', type, shape }],
    weights: [
      scalar('nothing', isBroken ? Number.NaN : 0),
      integers('last', [1], 3),
      integers('lastTwo', [2], 2, 3),
      ...(isXl ? [scalar('text_embeds_scale', 1), scalar('time_ids_scale', TIME_SCALE)] : []),
      ...(guidanceWidth === undefined ? [] : [scalar('timestep_cond_scale', 1)]),
    ],
  });
}

/** `hidden_states.k` is (k + 1) times the token, by the scale. */
function encoderGraph(
  scale: number,
  { isXl = false, isOld = false, promptLength }: NumberModel,
): Uint8Array {
  const type = isOld ? ELEMENT.FP16 : ELEMENT.FP32;
  const layers = isXl ? Array.from({ length: LAYERS }, (_, layer) => layer) : [];
  const states = ['last_hidden_state', ...layers.map((layer) => `hidden_states.${layer}`)];
  return modelBytes({
    name: 'encoder',
    nodes: [
      cast('input_ids', 'numbers', ELEMENT.FP32),
      { op: 'Mul', inputs: ['numbers', 'scale'], outputs: ['scaled'] },
      { op: 'Unsqueeze', inputs: ['scaled', 'last'], outputs: ['single'] },
      cast('single', 'last_hidden_state', type),
      ...layers.map((layer) => ({
        op: 'Mul',
        inputs: ['single', `times${layer}`],
        outputs: [`hidden_states.${layer}`],
      })),
      mean('scaled', 'whole', 1),
      { op: 'Mul', inputs: ['whole', 'pooled_scale'], outputs: ['text_embeds'] },
    ],
    inputs: [
      {
        name: 'input_ids',
        type: isOld ? ELEMENT.INT32 : ELEMENT.INT64,
        shape: ['batch', promptLength ?? 'tokens'],
      },
    ],
    outputs: [
      ...states.map((name) => ({ name, type, shape: ['batch', 'tokens', 1] })),
      { name: 'text_embeds', type: ELEMENT.FP32, shape: ['batch', 1] },
    ],
    weights: [
      scalar('scale', scale * IDS_SCALE),
      scalar('pooled_scale', POOLED_SCALE),
      integers('last', [1], 2),
      ...layers.map((layer) => scalar(`times${layer}`, layer + 1)),
    ],
  });
}

/** The first three channels are the colours. */
function decoderGraph({ isOld = false }: NumberModel): Uint8Array {
  const type = isOld ? ELEMENT.FP16 : ELEMENT.FP32;
  return modelBytes({
    name: 'decoder',
    nodes: [
      {
        op: 'Slice',
        inputs: ['latent_sample', 'from', 'to', 'axis'],
        outputs: ['sample'],
      },
    ],
    inputs: [{ name: 'latent_sample', type, shape: ['batch', 4, 'height', 'width'] }],
    outputs: [{ name: 'sample', type, shape: ['batch', 3, 'height', 'width'] }],
    weights: [integers('from', [1], 0), integers('to', [1], 3), integers('axis', [1], 1)],
  });
}

function checkerGraph(): Uint8Array {
  return modelBytes({
    name: 'checker',
    nodes: [
      {
        op: 'ReduceMean',
        inputs: ['images'],
        outputs: ['light'],
        attributes: [integersAttribute('axes', 1, 2, 3), integerAttribute('keepdims', 0)],
      },
      mean('clip_input', 'clip', 1, 2, 3),
      { op: 'Mul', inputs: ['clip', 'nothing'], outputs: ['no_clip'] },
      {
        op: 'ReduceSum',
        inputs: ['no_clip'],
        outputs: ['none'],
        attributes: [integerAttribute('keepdims', 0)],
      },
      { op: 'Add', inputs: ['light', 'none'], outputs: ['both'] },
      { op: 'Greater', inputs: ['both', 'half'], outputs: ['has_nsfw_concepts'] },
    ],
    inputs: [
      { name: 'clip_input', type: ELEMENT.FP32, shape: ['batch', 3, 224, 224] },
      { name: 'images', type: ELEMENT.FP32, shape: ['batch', 'height', 'width', 3] },
    ],
    outputs: [{ name: 'has_nsfw_concepts', type: ELEMENT.BOOL, shape: ['batch'] }],
    weights: [scalar('nothing', 0), scalar('half', 0.5)],
  });
}
