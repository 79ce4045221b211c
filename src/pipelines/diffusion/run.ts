/*
 * One run: from noise to pictures, one after the other, step by step.
 *
 *  F1  After a step a checkpoint is told, at most once a second: the next attempt goes on from it, and gets the same
 *      bytes as this one would have.
 *  F2  Whatever a step adds by chance belongs to the seed, the image and the step, never to the attempt.
 *  F3  A preview is told at most twice a second, and takes at most a fiftieth of the time. When the run is stopped, the
 *      last one shows where it was.
 */
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { ImagesOutput, type InferenceContext, type OutputFile } from '../definition.ts';
import { Pace } from '../shared/pace.ts';
import { type Checkpoint, checkpointIn, checkpointPart } from './checkpoint.ts';
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
const PREVIEW_SHARE = 1 / 50;
const REPORT_EVERY_MS = 200;

export interface RunOptions {
  readonly prompt: string;
  readonly negative: string;
  readonly options: DiffusionOptions & { readonly seed: number };
  readonly shape: LatentShape;
  readonly sampler: Sampler;
  readonly denoiser: Denoiser;
  /** The latents that the run begins with, without noise; null: it begins with noise alone. */
  readonly start: Float32Array | null;
  /** The first step: those before it are left out when a run begins with an image. */
  readonly firstStep: number;
  readonly stepDelayMs: number;
  /** See `checkpointPart`. */
  readonly origin: string;
  readonly makePreview: MakePreview;
  readonly decode: (latents: Float32Array) => Promise<FinishedPicture>;
  readonly context: InferenceContext;
}

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

export class DiffusionRun {
  readonly #run: RunOptions;
  readonly #pace: Pace;
  readonly #done: Float32Array[];
  readonly #from: Checkpoint | null;
  #checkpointedAtMs = performance.now();
  #previewAtMs = performance.now() + PREVIEW_EVERY_MS;
  #reportedAtMs = 0;
  #latest: Latest | null = null;
  #shown: Latest | null = null;

  constructor(run: RunOptions) {
    this.#run = run;
    const { context, origin, shape } = run;
    this.#from = checkpointIn(context.before, origin, lengthOf(shape));
    this.#done = [...(this.#from?.done ?? [])];
    const before = this.#from === null ? 0 : this.#countOf(this.#from);
    this.#pace = new Pace(this.#steps * run.options.num_outputs, before);
  }

  async finish(): Promise<ImagesOutput> {
    const { options } = this.#run;
    try {
      for (let image = this.#done.length; image < options.num_outputs; image++) {
        this.#done.push(await this.#finishImage(image));
      }
    } catch (error) {
      await this.#preview(); // F3
      throw error;
    }
    const files: OutputFile[] = [];
    const images = [];
    for (const [index, latents] of this.#done.entries()) {
      const { image, flagged } = await this.#run.decode(latents);
      const { prompt, negative } = this.#run;
      const text = options.metadata ? parametersText(prompt, negative, options, index) : null;
      files.push(await pictureFile(image, options, text));
      images.push({ width: image.width, height: image.height, flagged });
    }
    return new ImagesOutput({ seed: options.seed, images }, files);
  }

  /** The latents of an image after its last step. */
  async #finishImage(image: number): Promise<Float32Array> {
    const { context, sampler, denoiser, stepDelayMs, firstStep } = this.#run;
    const from = this.#from?.image === image ? this.#from : null;
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
      before = sampler.needsBefore ? next.original : null;
      this.#latest = { image, step: step + 1, original: next.original };
      this.#keep({ image, step: step + 1, latents, before, done: this.#done });
      if (performance.now() >= this.#previewAtMs) await this.#preview();
    }
    return latents;
  }

  #begin(image: number): Float32Array {
    const { sampler, start, firstStep } = this.#run;
    const noise = this.#noise(image, 0, 'start');
    return start === null
      ? noise.map((value) => value * sampler.initialScale)
      : sampler.noised(start, noise, firstStep);
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
    this.#run.context.emit(checkpointPart(checkpoint, this.#run.origin));
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
