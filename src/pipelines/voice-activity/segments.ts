/*
 * From the probability of speech in each frame to segments of speech: the rule of Silero's own
 * `get_speech_timestamps` (snakers4/silero-vad 6.2, MIT), one frame at a time.
 */
import { SAMPLE_RATE } from '../shared/audio-piece.ts';

/** Samples in a frame: 32 ms. */
export const FRAME = 512;

export interface SegmentRules {
  readonly threshold: number;
  readonly minSpeechMs: number;
  readonly minSilenceMs: number;
  readonly padMs: number;
  /** Longer speech is cut at its longest pause; null: never. */
  readonly maxSpeechS: number | null;
}

/** In samples; `confidence` is the mean probability of its frames, without the padding. */
export interface Segment {
  readonly start: number;
  readonly end: number;
  readonly confidence: number;
}

const SAMPLES_PER_MS = SAMPLE_RATE / 1000;
const HYSTERESIS = 0.15; // speech ends only this far below the threshold
const MIN_NEGATIVE = 0.01;
const MIN_PAUSE = 98 * SAMPLES_PER_MS; // where speech that is too long may be cut

interface Speech {
  start: number;
  /** Where the present silence began; null while it goes on. */
  silence: number | null;
  pauses: readonly { readonly start: number; readonly length: number }[];
}

export class Segmenter {
  readonly #rules: SegmentRules;
  readonly #found: Segment[] = [];
  /** Sums of all probabilities before each frame since the speech began. */
  #sums: number[] = [0];
  #sumsFrom = 0;
  #speech: Speech | null = null;
  #now = 0;

  constructor(rules: SegmentRules) {
    this.#rules = rules;
  }

  /** The next frame's probability. */
  push(probability: number): void {
    const now = this.#now;
    this.#now += FRAME;
    const isSpeech = probability >= this.#rules.threshold;
    const speech = this.#speech;
    if (speech === null) {
      if (isSpeech) this.#begin(now, probability);
      return;
    }
    this.#sums.push((this.#sums.at(-1) ?? 0) + probability);
    if (isSpeech && speech.silence !== null) {
      const pause = { start: speech.silence, length: now - speech.silence };
      if (pause.length > MIN_PAUSE) speech.pauses = [...speech.pauses, pause];
      speech.silence = null;
    }
    if (now - speech.start > this.#maxSamples() && this.#cut(speech, now)) return;
    const negative = Math.max(this.#rules.threshold - HYSTERESIS, MIN_NEGATIVE);
    if (probability >= negative) return;
    speech.silence ??= now;
    if (now - speech.silence < this.#rules.minSilenceMs * SAMPLES_PER_MS) return;
    this.#emitIfLong(speech.start, speech.silence);
    this.#speech = null;
  }

  /** All segments of a recording of so many samples. */
  finish(length: number): readonly Segment[] {
    if (this.#speech !== null) this.#emitIfLong(this.#speech.start, length);
    return padded(this.#found, this.#rules.padMs * SAMPLES_PER_MS, length);
  }

  #begin(start: number, probability: number): void {
    this.#speech = { start, silence: null, pauses: [] };
    this.#sumsFrom = start / FRAME;
    this.#sums = [0, probability];
  }

  #maxSamples(): number {
    const { maxSpeechS, padMs } = this.#rules;
    if (maxSpeechS === null) return Number.POSITIVE_INFINITY;
    return Math.max(FRAME, maxSpeechS * SAMPLE_RATE - FRAME - 2 * padMs * SAMPLES_PER_MS);
  }

  /** Speech has become too long: ends it at its longest pause, or here. True when it ends here. */
  #cut(speech: Speech, now: number): boolean {
    const [longest] = speech.pauses.toSorted((a, b) => b.length - a.length);
    if (longest === undefined) {
      this.#emit(speech.start, now);
      this.#speech = null;
      return true;
    }
    this.#emit(speech.start, longest.start);
    speech.start = longest.start + longest.length;
    speech.pauses = [];
    speech.silence = null;
    return false;
  }

  #emitIfLong(start: number, end: number): void {
    if (end - start > this.#rules.minSpeechMs * SAMPLES_PER_MS) this.#emit(start, end);
  }

  #emit(start: number, end: number): void {
    const from = Math.floor(start / FRAME) - this.#sumsFrom;
    const to = Math.min(Math.ceil(end / FRAME) - this.#sumsFrom, this.#sums.length - 1);
    const sum = (this.#sums[to] ?? 0) - (this.#sums[from] ?? 0);
    this.#found.push({ start, end, confidence: sum / Math.max(1, to - from) });
  }
}

/** Each a little longer on both sides; where two would meet, they share the gap. */
function padded(segments: readonly Segment[], padding: number, length: number): readonly Segment[] {
  const shareBefore = (index: number): number => {
    const [before, current] = [segments[index - 1], segments[index]];
    if (before === undefined || current === undefined) return padding;
    const gap = current.start - before.end;
    return gap < 2 * padding ? Math.floor(gap / 2) : padding;
  };
  return segments.map(({ start, end, confidence }, index) => ({
    start: Math.floor(Math.max(0, start - shareBefore(index))),
    end: Math.floor(Math.min(length, end + shareBefore(index + 1))),
    confidence,
  }));
}
