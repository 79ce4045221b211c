/* The safety checker of Stable Diffusion: a network that finds pictures which are not for everybody. */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { z } from 'zod';
import { firstMessage } from '../../contract/issue-message.ts';
import type { GraphSignature } from '../../contract/tensor.ts';
import type { PipelineSettings } from '../definition.ts';
import type { RgbImage } from '../shared/image.ts';
import { SAFETY_CHECKER, SAFETY_CONFIG } from './layout.ts';
import { RGB } from './autoencoder.ts';
import type { Networks } from './networks.ts';
import { tensorFor } from './tensors.ts';

const side = z.int().min(8).max(1024);

/** preprocessor_config.json; the defaults are those of CLIP. */
const configSchema = z.object({
  crop_size: z.union([side, z.object({ height: side })]).nullish(),
  image_mean: z.array(z.number()).length(RGB).default([0.48145466, 0.4578275, 0.40821073]),
  image_std: z.array(z.number().gt(0)).length(RGB).default([0.26862954, 0.26130258, 0.27577711]),
});
const USUAL_SIZE = 224;

type Config = z.infer<typeof configSchema>;

/** The checker of one model. */
export class SafetyChecker {
  readonly #graph: GraphSignature;
  readonly #networks: Networks;
  readonly #config: Config;

  private constructor(graph: GraphSignature, networks: Networks, config: Config) {
    this.#graph = graph;
    this.#networks = networks;
    this.#config = config;
  }

  /** Null: the model has none. */
  static async open(
    { files, graphs }: PipelineSettings,
    networks: Networks,
  ): Promise<SafetyChecker | null> {
    const graph = graphs[SAFETY_CHECKER];
    if (graph === undefined) return null;
    const path = files[SAFETY_CONFIG];
    const json: unknown = path === undefined ? {} : JSON.parse(await readFile(path, 'utf8'));
    const parsed = configSchema.safeParse(json);
    if (parsed.success) return new SafetyChecker(graph, networks, parsed.data);
    throw new Error(`${SAFETY_CONFIG} ${firstMessage(parsed.error.issues)}`);
  }

  /** Whether a picture is not for everybody. */
  async isFlagged(image: RgbImage): Promise<boolean> {
    const inputs = Object.fromEntries(
      await Promise.all(
        this.#graph.inputs.map(async (spec) => {
          const isForClip = spec.name === 'clip_input';
          return [spec.name, isForClip ? await this.#clipInput(image, spec) : whole(image, spec)];
        }),
      ),
    ) as Record<string, ReturnType<typeof tensorFor>>;
    const outputs = await this.#networks.use(SAFETY_CHECKER, async (session) => {
      return await session.run(inputs);
    });
    const concepts = outputs['has_nsfw_concepts'];
    if (concepts === undefined) throw new Error(`${SAFETY_CHECKER} gave no has_nsfw_concepts`);
    return Boolean(concepts.data[0]);
  }

  /** The middle of the picture, in the size and with the scale that CLIP was trained on. */
  async #clipInput({ data, width, height }: RgbImage, spec: GraphSignature['inputs'][number]) {
    const { crop_size: crop, image_mean: mean, image_std: deviation } = this.#config;
    const size = typeof crop === 'number' ? crop : (crop?.height ?? USUAL_SIZE);
    const raw = { width, height, channels: RGB } as const;
    const small = await sharp(data, { raw, limitInputPixels: false })
      .resize(size, size, { fit: 'cover', kernel: 'cubic' })
      .raw()
      .toBuffer();
    const values = new Float32Array(RGB * size * size);
    for (let index = 0; index < size * size; index++) {
      for (let channel = 0; channel < RGB; channel++) {
        const value = (small[index * RGB + channel] ?? 0) / 255;
        values[channel * size * size + index] =
          (value - (mean[channel] ?? 0)) / (deviation[channel] ?? 1);
      }
    }
    return tensorFor(spec, values, [1, RGB, size, size]);
  }
}

/** All pixels as 0 to 1, colour by colour of each pixel. */
const whole = ({ data, width, height }: RgbImage, spec: GraphSignature['inputs'][number]) =>
  tensorFor(
    spec,
    Float32Array.from(data, (value) => value / 255),
    [1, height, width, RGB],
  );

/** What is shown instead of a flagged picture. */
export const blackened = ({ width, height, data }: RgbImage): RgbImage => ({
  width,
  height,
  data: Buffer.alloc(data.length),
});
