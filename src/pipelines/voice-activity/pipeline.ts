/*
 * Where somebody speaks: Silero's recurrent network (snakers4/silero-vad, MIT) gives each frame of
 * 32 ms a probability, from the frame, a little of the one before it, and its own state.
 */
import { openSession, type Session, Tensor } from '../../onnx/session.ts';
import type { Pipeline, PipelineSettings, Media } from '../definition.ts';
import { decodeMono } from '../shared/audio.ts';
import { SAMPLE_RATE } from '../shared/audio-piece.ts';
import { VOICE_FILE, type VoiceActivityOptions, type VoiceActivityOutput } from './schema.ts';
import { FRAME, Segmenter } from './segments.ts';

const CONTEXT = 64; // samples of the frame before
const STATE_SHAPE = [2, 1, 128];

export async function openVoiceActivity(settings: PipelineSettings): Promise<Pipeline> {
  const session = await openSession(settings.files[VOICE_FILE] ?? '', {
    device: settings.device,
    threads: settings.manifest.resources.threads,
    graph: settings.graphs[VOICE_FILE],
  });
  return {
    async infer({ input, options }, context) {
      const segmenter = new Segmenter(rulesOf(options as VoiceActivityOptions));
      const listener = new Listener(session);
      let length = 0;
      for await (const { samples, fraction } of decodeMono(input['audio'] as Media)) {
        length += samples.length;
        for (const probability of await listener.hear(samples)) segmenter.push(probability);
        context.report(fraction, `${Math.round(length / SAMPLE_RATE)} s heard`);
      }
      for (const probability of await listener.end()) segmenter.push(probability);
      const segments = segmenter.finish(length).map(({ start, end, confidence }) => ({
        start: seconds(start),
        end: seconds(end),
        confidence: Math.round(confidence * 1000) / 1000,
      }));
      const speech = segments.reduce((sum, { start, end }) => sum + end - start, 0);
      const output: VoiceActivityOutput = {
        segments,
        duration: seconds(length),
        speech: Math.round(speech * 1000) / 1000,
      };
      return output;
    },
  };
}

const rulesOf = (options: VoiceActivityOptions) => ({
  threshold: options.threshold,
  minSpeechMs: options.min_speech_ms,
  minSilenceMs: options.min_silence_ms,
  padMs: options.speech_pad_ms,
  maxSpeechS: options.max_speech_s,
});

const seconds = (samples: number): number => Math.round((samples / SAMPLE_RATE) * 1000) / 1000;

/** The network with its state, for one recording. */
class Listener {
  readonly #session: Session;
  readonly #rate = new Tensor('int64', BigInt64Array.of(BigInt(SAMPLE_RATE)), []);
  readonly #window = new Float32Array(CONTEXT + FRAME);
  #state: Tensor = new Tensor('float32', new Float32Array(2 * 128), STATE_SHAPE);
  #filled = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  /** The probabilities of the frames that these samples complete. */
  async hear(samples: Float32Array): Promise<readonly number[]> {
    const probabilities: number[] = [];
    for (let at = 0; at < samples.length;) {
      const count = Math.min(FRAME - this.#filled, samples.length - at);
      this.#window.set(samples.subarray(at, at + count), CONTEXT + this.#filled);
      at += count;
      this.#filled += count;
      if (this.#filled === FRAME) probabilities.push(await this.#run());
    }
    return probabilities;
  }

  /** The last frame, filled up with silence. */
  async end(): Promise<readonly number[]> {
    return this.#filled === 0 ? [] : await this.hear(new Float32Array(FRAME - this.#filled));
  }

  async #run(): Promise<number> {
    const input = new Tensor('float32', this.#window, [1, CONTEXT + FRAME]);
    const outputs = await this.#session.run({ input, state: this.#state, sr: this.#rate });
    const { output, stateN } = outputs;
    if (output === undefined || stateN === undefined) throw new Error('is no Silero network');
    this.#state = stateN;
    this.#window.copyWithin(0, FRAME); // the end of this frame is the context of the next
    this.#filled = 0;
    return Number((output.data as Float32Array)[0]);
  }
}
