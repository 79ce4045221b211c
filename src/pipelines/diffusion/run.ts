/*
 * One run: from noise to pictures, one after the other, step by step.
 *
 *  F1  After a step a checkpoint is told, at most once a second: the next attempt goes on from it, and gets the same
 *      bytes as this one would have.
 *  F2  Whatever a step adds by chance belongs to the seed, the image and the step, never to the attempt.
 *  F3  A preview is told at most twice a second, and takes at most a hundredth of the time. When the run is stopped, the
 *      last one shows where it was.
 */
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import type { Part } from '../../contract/work.ts';
import { ImagesOutput, type InferenceContext, type OutputFile } from '../definition.ts';
import { Pace } from '../shared/pace.ts';
import {
  type Checkpoint,
  checkpointPart,
  donePart,
  type Progress,
  progressIn,
  startPart,
} from './checkpoint.ts';
import { type Denoiser, type LatentShape, lengthOf } from './denoiser.ts';
import { normalNoise } from './noise.ts';
import { parametersText, pictureFile } from './picture-file.ts';
import type { MakePreview } from './previews.ts';
import type { RgbImage } from '../shared/image.ts';
import type { Sampler } from './samplers/sampler.ts';
import type { DiffusionOptions } from './schema.ts';

/** F1 */
const CHECKPOINT_EVERY_MS = 1000;
/** F3 */
const PREVIEW_EVERY_MS = 500;
const PREVIEW_SHARE = 1 / 100;
const REPORT_EVERY_MS = 200;

/** What a run is made with. */
export interface RunOptions {
  readonly prompt: string;
  readonly negative: string;
  readonly options: DiffusionOptions & { readonly seed: number };
  readonly shape: LatentShape;
  readonly sampler: Sampler;
  readonly denoiser: Denoiser;
  /** Makes the latents that the run begins with, without noise; null: it begins with noise alone. */
  readonly makeStart: (() => Promise<Float32Array>) | null;
  /** The first step: those before it are left out when a run begins with an image. */
  readonly firstStep: number;
  readonly stepDelayMs: number;
  /** See `checkpoint.ts`. */
  readonly origin: string;
  /** Null: there is no preview for this model. */
  readonly makePreview: MakePreview | null;
  /** The pictures that latents stand for, in their order. */
  readonly decode: (all: readonly Float32Array[]) => Promise<readonly FinishedPicture[]>;
  readonly context: InferenceContext;
}

/** A picture that is done. */
export interface FinishedPicture {
  readonly image: RgbImage;
  /** Whether the safety checker has blackened it; null: there is none. */
  readonly flagged: boolean | null;
}

/** What one step leaves behind. */
interface Latest {
  readonly image: number;
  readonly step: number;
  readonly original: Float32Array;
}

/** One run. `finish` is called once. */
export class DiffusionRun {
  readonly #run: RunOptions;
  readonly #pace: Pace;
  readonly #from: Progress | null;
  readonly #done: Float32Array[];
  /** What has to be told with the next checkpoint. */
  #untold: Part[] = [];
  #start: Float32Array | null = null;
  #checkpointedAtMs = performance.now();
  #previewAtMs = performance.now() + PREVIEW_EVERY_MS;
  #reportedAtMs = 0;
  #latest: Latest | null = null;
  #shown: Latest | null = null;

  constructor(run: RunOptions) {
    this.#run = run;
    const { context, origin, shape, sampler, options } = run;
    this.#from = progressIn(context.before, {
      origin,
      length: lengthOf(shape),
      images: options.num_outputs,
      steps: sampler.timesteps.length,
      needsBefore: sampler.needsBefore,
    });
    this.#done = [...(this.#from?.done ?? [])];
    const before = this.#from === null ? 0 : this.#countOf(this.#from.checkpoint);
    this.#pace = new Pace(this.#steps * options.num_outputs, before);
  }

  /** Throws the reason of the signal, and an error when the network gives what is no number. */
  async finish(): Promise<ImagesOutput> {
    const { options, context } = this.#run;
    try {
      await this.#makeStart();
      for (let image = this.#done.length; image < options.num_outputs; image++) {
        const latents = await this.#finishImage(image);
        this.#done.push(latents);
        this.#untold.push(donePart(image, latents, this.#run.origin));
      }
    } catch (error) {
      if (context.signal.aborted) await this.#preview().catch(() => {}); // F3
      throw error;
    }
    return await this.#output();
  }

  async #output(): Promise<ImagesOutput> {
    const { options, prompt, negative } = this.#run;
    const files: OutputFile[] = [];
    const images = [];
    for (const [index, { image, flagged }] of (await this.#run.decode(this.#done)).entries()) {
      const isGiven = this.#start !== null;
      const text = options.metadata
        ? parametersText({ prompt, negative, options, image: index, isGiven })
        : null;
      files.push(await pictureFile(image, options, text));
      images.push({ width: image.width, height: image.height, flagged });
    }
    return new ImagesOutput({ seed: options.seed, images }, files);
  }

  async #makeStart(): Promise<void> {
    const { makeStart, origin } = this.#run;
    if (makeStart === null) return;
    const known = this.#from?.start ?? null;
    this.#start = known ?? (await makeStart());
    if (known === null) this.#untold.push(startPart(this.#start, origin));
  }

  /** The latents of an image after its last step. */
  async #finishImage(image: number): Promise<Float32Array> {
    const { context, sampler, denoiser, stepDelayMs, firstStep } = this.#run;
    const from = this.#from?.checkpoint.image === image ? this.#from.checkpoint : null;
    let latents = from?.latents ?? this.#begin(image);
    let before = from?.before ?? null;
    for (let step = from?.step ?? firstStep; step < sampler.timesteps.length; step++) {
      await nextTurn(); // for messages that have come meanwhile
      context.signal.throwIfAborted();
      this.#report(image, step);
      if (stepDelayMs > 0) await pause(stepDelayMs, undefined, { signal: context.signal });
      const time = sampler.timesteps[step] ?? 0;
      const output = await denoiser.predict(sampler.scaled(latents, step), time);
      const noise = () => this.#noise(image, step, 'step'); // F2
      const next = sampler.advance({ step, latents, output, before, noise });
      latents = next.latents;
      if (!areFinite(latents)) throw new Error(`step ${step + 1} ${NOT_FINITE}`);
      before = sampler.needsBefore ? next.original : null;
      this.#latest = { image, step: step + 1, original: next.original };
      this.#keep({ image, step: step + 1, latents, before });
      if (performance.now() >= this.#previewAtMs) await this.#preview();
    }
    return latents;
  }

  #begin(image: number): Float32Array {
    const { sampler, firstStep } = this.#run;
    const noise = this.#noise(image, 0, 'start');
    return this.#start === null
      ? noise.map((value) => value * sampler.initialScale)
      : sampler.noised(this.#start, noise, firstStep);
  }

  #noise(image: number, step: number, use: 'start' | 'step'): Float32Array {
    const { shape, options } = this.#run;
    return normalNoise(lengthOf(shape), options.seed, { image, step, use });
  }

  get #steps(): number {
    return this.#run.sampler.timesteps.length - this.#run.firstStep;
  }

  /** How many steps of all images are done. */
  #countOf({ image, step }: { readonly image: number; readonly step: number }): number {
    return image * this.#steps + step - this.#run.firstStep;
  }

  #report(image: number, step: number): void {
    const nowMs = performance.now();
    if (nowMs - this.#reportedAtMs < REPORT_EVERY_MS) return;
    this.#reportedAtMs = nowMs;
    const { context, options, firstStep } = this.#run;
    const done = this.#countOf({ image, step });
    const which = options.num_outputs === 1 ? '' : `image ${image + 1} of ${options.num_outputs}, `;
    const where = `${which}step ${step - firstStep + 1} of ${this.#steps}`;
    context.report(done / (this.#steps * options.num_outputs), this.#pace.message(where, done));
  }

  /** F1 */
  #keep(checkpoint: Checkpoint): void {
    const nowMs = performance.now();
    if (nowMs - this.#checkpointedAtMs < CHECKPOINT_EVERY_MS) return;
    this.#checkpointedAtMs = nowMs;
    const { context, origin } = this.#run;
    for (const part of this.#untold) context.emit(part);
    this.#untold = [];
    context.emit(checkpointPart(checkpoint, origin));
  }

  /** Shows what the latest step has seen, unless it was shown. */
  async #preview(): Promise<void> {
    const { makePreview, shape, options, context } = this.#run;
    const latest = this.#latest;
    if (makePreview === null || latest === null || latest === this.#shown) return;
    this.#shown = latest;
    const beganAtMs = performance.now();
    const file = await pictureFile(await makePreview(latest.original, shape), options, null);
    const { image, step } = latest;
    const data = Buffer.from(file.bytes).toString('base64');
    context.emit({ preview: { image, step, media_type: file.mediaType, data } });
    const tookMs = performance.now() - beganAtMs;
    this.#previewAtMs = beganAtMs + Math.max(PREVIEW_EVERY_MS, tookMs / PREVIEW_SHARE);
  }
}

const NOT_FINITE =
  'gave what is no finite number: the configs may not fit the network, or half precision is too small for it';

/** Whether all values are numbers; their sum is none as soon as one of them is none. */
const areFinite = (values: Float32Array): boolean =>
  Number.isFinite(values.reduce((sum, value) => sum + value, 0));
