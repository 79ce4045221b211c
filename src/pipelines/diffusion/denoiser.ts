/* The network that sees the picture in the noise, with guidance: Ho & Salimans 2022 (arXiv 2207.12598). */
import type { GraphSignature, TensorSpec } from '../../contract/tensor.ts';
import type { Tensor } from '../../onnx/session.ts';
import { UNET } from './layout.ts';
import type { ModelFacts } from './model-facts.ts';
import type { Networks } from './networks.ts';
import { tensorFor, valuesOf } from './tensors.ts';
import type { Conditioning } from './text-encoding.ts';

/** The latents of one image: [1, channels, height, width]. */
export interface LatentShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** How many numbers they have. */
export const lengthOf = ({ channels, height, width }: LatentShape): number =>
  channels * height * width;

/** What stays the same over the steps of a run. */
export interface DenoiserOptions {
  readonly networks: Networks;
  readonly graph: GraphSignature;
  readonly facts: ModelFacts;
  readonly shape: LatentShape;
  readonly prompt: Conditioning;
  /** What the picture shall not be; null: the run is not guided. */
  readonly negative: Conditioning | null;
  readonly guidance: number;
}

/** Whether a run needs the network to look at both prompts. */
export const isGuided = (guidance: number, { guidanceWidth }: ModelFacts): boolean =>
  guidance > 1 && guidanceWidth === null;

/** The network of one run, with its prompts and its guidance. */
export class Denoiser {
  readonly #options: DenoiserOptions;
  readonly #timestep: TensorSpec;
  readonly #sample: TensorSpec;
  /** What is the same at each step. */
  readonly #constant: Readonly<Record<string, Tensor>>;

  constructor(options: DenoiserOptions) {
    this.#options = options;
    this.#timestep = specOf(options.graph, 'timestep');
    this.#sample = specOf(options.graph, 'sample');
    this.#constant = constantInputs(options);
  }

  /** What the network predicts for latents at a time. */
  async predict(latents: Float32Array, time: number): Promise<Float32Array> {
    const { networks, graph, shape, negative, guidance } = this.#options;
    const { channels, height, width } = shape;
    const runs = negative === null ? 1 : 2;
    const sample = runs === 1 ? latents : joined([latents, latents]);
    const output = await networks.use(UNET, async (session) => {
      return await session.run({
        ...this.#constant,
        sample: tensorFor(this.#sample, sample, [runs, channels, height, width]),
        timestep: tensorFor(this.#timestep, [time], this.#timestep.shape.length === 0 ? [] : [1]),
      });
    });
    const predicted = valuesOf(output[graph.outputs[0]?.name ?? ''] as Tensor);
    if (runs === 1) return predicted;
    const size = latents.length;
    const guided = new Float32Array(size);
    for (let index = 0; index < size; index++) {
      const without = predicted[index] as number;
      guided[index] = without + guidance * ((predicted[index + size] as number) - without);
    }
    return guided;
  }
}

const specOf = ({ inputs }: GraphSignature, name: string): TensorSpec =>
  inputs.find((each) => each.name === name) ?? { name, datatype: 'FP32', shape: [] };

function constantInputs(options: DenoiserOptions): Record<string, Tensor> {
  const { graph, facts, shape, prompt, negative, guidance } = options;
  const both = negative === null ? [prompt] : [negative, prompt]; // in this order
  const inputs: Record<string, Tensor> = {
    encoder_hidden_states: tensorFor(
      specOf(graph, 'encoder_hidden_states'),
      joined(both.map(({ states }) => states)),
      [both.length, prompt.tokens, prompt.width],
    ),
  };
  if (facts.isXl) {
    const pooled = both.map((each) => each.pooled ?? new Float32Array());
    inputs['text_embeds'] = tensorFor(specOf(graph, 'text_embeds'), joined(pooled), [
      both.length,
      pooled[0]?.length ?? 0,
    ]);
    const [height, width] = [shape.height, shape.width].map((size) => size * facts.pixelsPerLatent);
    // Original size, corner of the crop, size: arXiv 2307.01952, section 2.2.
    const ids = [height, width, 0, 0, height, width] as number[];
    inputs['time_ids'] = tensorFor(
      specOf(graph, 'time_ids'),
      both.flatMap(() => ids),
      [both.length, ids.length],
    );
  }
  if (facts.guidanceWidth !== null) {
    const embedding = guidanceEmbedding(guidance, facts.guidanceWidth);
    inputs['timestep_cond'] = tensorFor(specOf(graph, 'timestep_cond'), embedding, [
      1,
      facts.guidanceWidth,
    ]);
  }
  return inputs;
}

function joined(all: readonly Float32Array[]): Float32Array {
  const [only] = all;
  if (only !== undefined && all.length === 1) return only;
  const whole = new Float32Array(all.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const each of all) {
    whole.set(each, at);
    at += each.length;
  }
  return whole;
}

/** The guidance as sines and cosines, as LCM was trained on it (arXiv 2310.04378). */
function guidanceEmbedding(guidance: number, width: number): Float32Array {
  const half = Math.floor(width / 2);
  const embedding = new Float32Array(width);
  for (let index = 0; index < half; index++) {
    const angle = 1000 * (guidance - 1) * Math.exp((-Math.log(10_000) * index) / (half - 1));
    embedding[index] = Math.sin(angle);
    embedding[half + index] = Math.cos(angle);
  }
  return embedding;
}
