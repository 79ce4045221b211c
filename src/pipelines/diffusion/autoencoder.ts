/* Latents to pixels and back, by the two halves of the model's autoencoder. */
import type { GraphSignature } from '../../contract/tensor.ts';
import type { PipelineSettings } from '../definition.ts';
import type { RgbImage } from '../shared/image.ts';
import type { LatentShape } from './denoiser.ts';
import { VAE_DECODER, VAE_ENCODER } from './layout.ts';
import type { ModelFacts } from './model-facts.ts';
import type { Networks } from './networks.ts';
import { tensorFor, valuesOf } from './tensors.ts';

/** The colours of a pixel. */
export const RGB = 3;
/** Where a graph gives the mean and the variance rather than latents: only the mean is taken. */
const PARAMETERS = 'latent_parameters';

/** Both halves of one model's autoencoder; the encoder only where the model has one. */
export class Autoencoder {
  readonly #facts: ModelFacts;
  readonly #graphs: PipelineSettings['graphs'];
  readonly #networks: Networks;

  constructor(facts: ModelFacts, graphs: PipelineSettings['graphs'], networks: Networks) {
    this.#facts = facts;
    this.#graphs = graphs;
    this.#networks = networks;
  }

  /** The picture that latents stand for. */
  async decode(latents: Float32Array, shape: LatentShape): Promise<RgbImage> {
    const { scalingFactor, shiftFactor } = this.#facts;
    const graph = this.#graphs[VAE_DECODER] as GraphSignature;
    const scaled = latents.map((value) => value / scalingFactor + shiftFactor);
    const spec = graph.inputs[0] ?? { datatype: 'FP32' };
    const input = tensorFor(spec, scaled, [1, shape.channels, shape.height, shape.width]);
    const outputs = await this.#networks.use(VAE_DECODER, async (session) => {
      return await session.run({ latent_sample: input });
    });
    const sample = outputs[graph.outputs[0]?.name ?? ''];
    if (sample === undefined) throw new Error(`${VAE_DECODER} gave no picture`);
    const [, channels = 0, height = 0, width = 0] = sample.dims;
    return toImage(valuesOf(sample), { channels, height, width });
  }

  /** The latents of a picture whose size fits. */
  async encode({ data, width, height }: RgbImage): Promise<Float32Array> {
    const { scalingFactor, shiftFactor, latentChannels } = this.#facts;
    const graph = this.#graphs[VAE_ENCODER] as GraphSignature;
    const pixels = width * height;
    const planes = new Float32Array(RGB * pixels);
    for (let index = 0; index < pixels; index++) {
      for (let channel = 0; channel < RGB; channel++) {
        planes[channel * pixels + index] = ((data[index * RGB + channel] ?? 0) / 255) * 2 - 1;
      }
    }
    const input = tensorFor(graph.inputs[0] ?? { datatype: 'FP32' }, planes, [
      1,
      RGB,
      height,
      width,
    ]);
    const outputs = await this.#networks.use(VAE_ENCODER, async (session) => {
      return await session.run({ sample: input });
    });
    const output = outputs[PARAMETERS] ?? outputs[graph.outputs[0]?.name ?? ''];
    if (output === undefined) throw new Error(`${VAE_ENCODER} gave no latents`);
    const [, , rows = 0, columns = 0] = output.dims;
    const values = valuesOf(output).subarray(0, latentChannels * rows * columns);
    return values.map((value) => (value - shiftFactor) * scalingFactor);
  }
}

/** Planes of -1 to 1 as pixels; a single plane is grey. Throws when a value is no number. */
export function toImage(planes: Float32Array, { channels, height, width }: LatentShape): RgbImage {
  const pixels = width * height;
  const data = Buffer.allocUnsafe(pixels * RGB);
  for (let channel = 0; channel < RGB; channel++) {
    const from = Math.min(channel, channels - 1) * pixels;
    for (let index = 0; index < pixels; index++) {
      const value = ((planes[from + index] as number) / 2 + 0.5) * 255;
      if (Number.isNaN(value)) throw new Error('the decoder gave what is no number');
      data[index * RGB + channel] = Math.max(0, Math.min(255, Math.round(value)));
    }
  }
  return { width, height, data };
}
