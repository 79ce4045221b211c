/*
 * Makes images by diffusion: a network takes the noise out of random latents step by step, led by a prompt, and an
 * autoencoder makes a picture of them (Rombach et al. 2022, arXiv 2112.10752).
 */
import type { GraphSignature } from '../../contract/tensor.ts';
import { runtimeVersion } from '../../onnx/session.ts';
import type {
  ImagesOutput,
  InferenceContext,
  Media,
  Pipeline,
  PipelineInput,
  PipelineSettings,
} from '../definition.ts';
import { decodeImage, resizeImage } from '../shared/image.ts';
import { Autoencoder } from './autoencoder.ts';
import { Denoiser, isGuided, type LatentShape } from './denoiser.ts';
import { UNET } from './layout.ts';
import { type ModelFacts, modelFacts } from './model-facts.ts';
import { Networks } from './networks.ts';
import { type MakePreview, previewsOf } from './previews.ts';
import { DiffusionRun, type FinishedPicture } from './run.ts';
import { blackened, SafetyChecker } from './safety.ts';
import { openSampler } from './samplers/index.ts';
import { type DiffusionOptions, settingsOf } from './schema.ts';
import { type Conditioning, emptied, TextEncoding } from './text-encoding.ts';

/** What a run is asked for. */
interface Wish {
  readonly prompt: string;
  readonly negative: string;
  readonly image: Media | undefined;
  readonly options: DiffusionOptions & { readonly seed: number };
}

export async function openDiffusion(settings: PipelineSettings): Promise<Pipeline> {
  const { manifest, graphs, configs } = settings;
  const facts = modelFacts(manifest, graphs, configs);
  const networks = await Networks.open(settings);
  const text = await TextEncoding.open(facts, settings, networks);
  const autoencoder = new Autoencoder(facts, graphs, networks);
  const checker = await SafetyChecker.open(settings, networks);
  // Nobody has checked what a preview shows.
  const makePreview = checker === null ? await previewsOf(facts, networks, autoencoder) : null;
  const parts = { facts, networks, text, autoencoder, checker, makePreview };
  const model = new DiffusionModel(settings, parts);
  return { infer: async (item, context) => await model.infer(wishOf(item), context) };
}

interface Parts {
  readonly facts: ModelFacts;
  readonly networks: Networks;
  readonly text: TextEncoding;
  readonly autoencoder: Autoencoder;
  /** Null: the model has none. */
  readonly checker: SafetyChecker | null;
  readonly makePreview: MakePreview;
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
    const { facts, networks, text, makePreview } = this.#parts;
    const { options } = wish;
    const { scheduler, num_inference_steps: steps, eta, guidance_scale: guidance } = options;
    const shape: LatentShape = {
      channels: facts.latentChannels,
      height: options.height / facts.pixelsPerLatent,
      width: options.width / facts.pixelsPerLatent,
    };
    const prompt = await text.encode(wish.prompt);
    const negative = await this.#negativeOf(wish, prompt);
    const start = await this.#startOf(wish);
    const graph = this.#settings.graphs[UNET] as GraphSignature;
    const run = new DiffusionRun({
      ...wish,
      shape,
      sampler: openSampler(scheduler, facts.scheduler.config, { steps, eta }),
      denoiser: new Denoiser({ networks, graph, facts, shape, prompt, negative, guidance }),
      start,
      firstStep: start === null ? 0 : firstStepOf(steps, options.strength ?? 1),
      stepDelayMs: this.#stepDelayMs,
      origin: `onnxruntime ${runtimeVersion}, ${this.#settings.device}`,
      makePreview,
      decode: async (latents) => await this.#decode(latents, shape),
      context,
    });
    return await run.finish();
  }

  /** What the run is led away from; null: it is not guided. */
  async #negativeOf(
    { negative, options }: Wish,
    prompt: Conditioning,
  ): Promise<Conditioning | null> {
    const { facts, text } = this.#parts;
    if (!isGuided(options.guidance_scale, facts)) return null;
    if (negative === '' && facts.hasZeroNegative) return emptied(prompt);
    return await text.encode(negative);
  }

  async #startOf({ image, options }: Wish): Promise<Float32Array | null> {
    if (image === undefined) return null;
    const decoded = await decodeImage(image, this.#settings.limits);
    const { width, height } = options;
    return await this.#parts.autoencoder.encode(await resizeImage(decoded, { width, height }));
  }

  async #decode(latents: Float32Array, shape: LatentShape): Promise<FinishedPicture> {
    const { autoencoder, checker } = this.#parts;
    const image = await autoencoder.decode(latents, shape);
    const flagged = checker === null ? null : await checker.isFlagged(image);
    return { image: flagged === true ? blackened(image) : image, flagged };
  }
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

/** Of a run that begins with an image, of which so much is to be replaced: at least one step is made. */
const firstStepOf = (steps: number, strength: number): number =>
  steps - Math.max(1, Math.min(steps, Math.floor(steps * strength)));
