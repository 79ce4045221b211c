/*
 * Makes images by diffusion: a network takes the noise out of random latents step by step, led by a prompt, and an
 * autoencoder makes a picture of them (Rombach et al. 2022, arXiv 2112.10752).
 */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { GraphSignature } from '../../contract/tensor.ts';
import { runtimeVersion } from '../../onnx/session.ts';
import {
  type ImagesOutput,
  type InferenceContext,
  InvalidInputError,
  type Media,
  type Pipeline,
  type PipelineInput,
  type PipelineSettings,
} from '../definition.ts';
import { decodeImage, resizeImage, type RgbImage } from '../shared/image.ts';
import { Autoencoder } from './autoencoder.ts';
import { Denoiser, isGuided, type LatentShape } from './denoiser.ts';
import { SAFETY_CHECKER, UNET, VAE_CONFIG, VAE_DECODER } from './layout.ts';
import { type ModelFacts, modelFacts } from './model-facts.ts';
import { Networks } from './networks.ts';
import { type MakePreview, previewsOf } from './previews.ts';
import { DiffusionRun, type FinishedPicture } from './run.ts';
import { blackened, SafetyChecker } from './safety.ts';
import { mostSteps } from './samplers/config.ts';
import { firstStepOf, openSampler, type SamplerOptions } from './samplers/index.ts';
import { type DiffusionOptions, settingsOf } from './schema.ts';
import { type Conditioning, emptied, TextEncoding } from './text-encoding.ts';

/** A decoder may need as many in each direction. */
const LEAST_LATENTS = 8;

/** What a run is asked for. */
interface Wish {
  readonly prompt: string;
  readonly negative: string;
  readonly image: Media | undefined;
  readonly options: DiffusionOptions & { readonly seed: number };
}

/** Loads a model; throws when its files do not fit together. */
export async function openDiffusion(settings: PipelineSettings): Promise<Pipeline> {
  const { manifest, graphs, configs } = settings;
  const facts = modelFacts(manifest, graphs, configs);
  const origin = await originOf(settings); // before the files are read
  const networks = await Networks.open(settings);
  const text = await TextEncoding.open(facts, settings, networks);
  const autoencoder = new Autoencoder(facts, graphs, networks);
  await checkSizes(facts, autoencoder, graphs[VAE_DECODER]);
  const [empty] = (await text.encodeAll([''])) as [Conditioning];
  const checker = await SafetyChecker.open(settings, networks);
  // Nobody has checked what a preview shows.
  const makePreview = checker === null ? await previewsOf(facts, networks, autoencoder) : null;
  const parts = { facts, origin, networks, text, empty, autoencoder, checker, makePreview };
  const model = new DiffusionModel(settings, parts);
  return { infer: async (item, context) => await model.infer(wishOf(item), context) };
}

/** See `checkpoint.ts`. Files whose hash is not in the manifest are known by their size and time. */
async function originOf({ manifest, files, device }: PipelineSettings): Promise<string> {
  const hash = createHash('sha256');
  for (const [role, path] of Object.entries(files)) {
    if (manifest.files[role]?.sha256 !== undefined) continue;
    const { size, mtimeMs } = await stat(path);
    hash.update(`${role} ${size} ${mtimeMs}\n`);
  }
  return `onnxruntime ${runtimeVersion}, ${device}, ${hash.digest('hex').slice(0, 16)}`;
}

/** Latents of the smallest size become a picture of the size that the configs say. */
async function checkSizes(
  { latentChannels: channels, pixelsPerLatent: scale, fixedSize, latentMultiple }: ModelFacts,
  autoencoder: Autoencoder,
  decoder: GraphSignature | undefined,
): Promise<void> {
  const least = Math.max(latentMultiple, LEAST_LATENTS);
  const [, , rows, columns] = decoder?.inputs[0]?.shape ?? [];
  const height = typeof rows === 'number' ? rows : (fixedSize?.height ?? least);
  const width = typeof columns === 'number' ? columns : (fixedSize?.width ?? least);
  const latents = new Float32Array(channels * width * height);
  const picture = await autoencoder.decode(latents, { channels, height, width });
  if (picture.width === width * scale && picture.height === height * scale) return;
  const [made, wanted] = [
    `${picture.width}×${picture.height}`,
    `${width * scale}×${height * scale}`,
  ];
  throw new Error(
    `${VAE_DECODER} makes ${made} pixels of ${width}×${height} latents, but by the block_out_channels of ${VAE_CONFIG} it should be ${wanted}`,
  );
}

interface Parts {
  readonly facts: ModelFacts;
  readonly origin: string;
  readonly networks: Networks;
  readonly text: TextEncoding;
  /** The empty prompt, which most runs are led away from. */
  readonly empty: Conditioning;
  readonly autoencoder: Autoencoder;
  /** Null: the model has none. */
  readonly checker: SafetyChecker | null;
  readonly makePreview: MakePreview | null;
}

class DiffusionModel {
  readonly #settings: PipelineSettings;
  readonly #parts: Parts;
  readonly #stepDelayMs: number;

  constructor(settings: PipelineSettings, parts: Parts) {
    this.#settings = settings;
    this.#parts = parts;
    this.#stepDelayMs = settingsOf(settings.manifest, parts.facts).stepDelayMs;
  }

  async infer(wish: Wish, context: InferenceContext): Promise<ImagesOutput> {
    const { facts, networks, origin, makePreview } = this.#parts;
    const { image, options } = wish;
    const { scheduler, guidance_scale: guidance } = options;
    const shape: LatentShape = {
      channels: facts.latentChannels,
      height: options.height / facts.pixelsPerLatent,
      width: options.width / facts.pixelsPerLatent,
    };
    const sampling = samplingOf(wish, facts);
    const { prompt, negative } = await this.#conditionings(wish);
    const graph = this.#settings.graphs[UNET] as GraphSignature;
    const run = new DiffusionRun({
      ...wish,
      shape,
      sampler: openSampler(scheduler, facts.scheduler.config, sampling),
      denoiser: new Denoiser({ networks, graph, facts, shape, prompt, negative, guidance }),
      makeStart: image === undefined ? null : async () => await this.#startOf(image, options),
      firstStep: firstStepOf(scheduler, sampling),
      stepDelayMs: this.#stepDelayMs,
      origin,
      makePreview,
      decode: async (all) => await this.#decode(all, shape),
      context,
    });
    return await run.finish();
  }

  /** `negative` is what the run is led away from; null: it is not guided. */
  async #conditionings({ prompt, negative, options }: Wish): Promise<{
    readonly prompt: Conditioning;
    readonly negative: Conditioning | null;
  }> {
    const { facts, text, empty } = this.#parts;
    const isLed = isGuided(options.guidance_scale, facts);
    const texts = isLed && negative !== '' ? [prompt, negative] : [prompt];
    const [own, other] = (await text.encodeAll(texts)) as [Conditioning, Conditioning?];
    if (!isLed) return { prompt: own, negative: null };
    return { prompt: own, negative: other ?? (facts.hasZeroNegative ? emptied(own) : empty) };
  }

  async #startOf(image: Media, { width, height }: DiffusionOptions): Promise<Float32Array> {
    const decoded = await decodeImage(image, this.#settings.limits);
    return await this.#parts.autoencoder.encode(
      await resizeImage(decoded, { width, height, fit: 'cover' }),
    );
  }

  async #decode(
    all: readonly Float32Array[],
    shape: LatentShape,
  ): Promise<readonly FinishedPicture[]> {
    const { networks, autoencoder, checker } = this.#parts;
    const images = await networks.use(VAE_DECODER, async () => {
      const decoded: RgbImage[] = [];
      for (const latents of all) decoded.push(await autoencoder.decode(latents, shape));
      return decoded;
    });
    if (checker === null) return images.map((image) => ({ image, flagged: null }));
    return await networks.use(SAFETY_CHECKER, async () => {
      const checked: FinishedPicture[] = [];
      for (const image of images) {
        const flagged = await checker.isFlagged(image);
        checked.push({ image: flagged ? blackened(image) : image, flagged });
      }
      return checked;
    });
  }
}

/** Throws `InvalidInputError` when there are more steps than so much of an image leaves. */
function samplingOf({ image, options }: Wish, { scheduler }: ModelFacts): SamplerOptions {
  const { scheduler: name, num_inference_steps: steps, eta } = options;
  const strength = image === undefined ? 1 : (options.strength ?? 1);
  const most = Math.floor(mostSteps(name, scheduler.config) * strength);
  if (name !== 'lcm' || steps <= most) return { steps, eta, strength };
  throw new InvalidInputError(
    `options.num_inference_steps: must be at most ${most} with the scheduler lcm and a strength of ${strength}`,
  );
}

function wishOf({ input, options }: PipelineInput): Wish {
  const given = options as unknown as DiffusionOptions;
  return {
    prompt: input['prompt'] as string,
    negative: (input['negative_prompt'] ?? '') as string,
    image: input['image'] as Media | undefined,
    options: { ...given, seed: given.seed ?? 0 }, // it was drawn at acceptance
  };
}
