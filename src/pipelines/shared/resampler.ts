/*
 * Resamples a stream by a rational factor: a sinc in a Kaiser window, one row of coefficients for each
 * place that an output sample can have between two input samples (Smith and Gossett, "A flexible
 * sampling-rate conversion method", 1984). However the input is split, the output is the same bits.
 */
import { InvalidInputError } from '../definition.ts';

/** Measured, 90 dB and more for tones up to 0.8 of the lower Nyquist frequency. */
const ZERO_CROSSINGS = 24;
const KAISER_BETA = 8;
const ROLLOFF = 0.92; // the transition ends at the Nyquist frequency
const MAX_COEFFICIENTS = 8_000_000;
const UNROLLED = 4;

export class Resampler {
  readonly #up: number;
  readonly #down: number;
  /** Input samples on either side of an output sample. */
  readonly #half: number;
  readonly #rows: Float32Array;
  /** Input that is still needed, and the index of its first sample. */
  #held: Float32Array;
  #heldFrom: number;
  #received = 0;
  #made = 0;

  /** Rates in samples a second; throws `InvalidInputError` when their ratio is too odd. */
  constructor(from: number, to: number) {
    const divisor = greatestCommonDivisor(from, to);
    this.#up = to / divisor;
    this.#down = from / divisor;
    const cutoff = Math.min(1, to / from) * ROLLOFF;
    this.#half = from === to ? 0 : 2 * Math.ceil(ZERO_CROSSINGS / cutoff / 2);
    if (this.#up * this.#half * 2 > MAX_COEFFICIENTS) {
      throw new InvalidInputError(`audio of ${from} samples a second is not supported`);
    }
    this.#rows = coefficients(this.#up, this.#half, cutoff);
    this.#held = new Float32Array(this.#half); // silence before the first sample
    this.#heldFrom = -this.#half;
  }

  /** What can be made with the input so far. */
  push(input: Float32Array): Float32Array {
    if (this.#half === 0) return input;
    this.#received += input.length;
    return this.#run(input);
  }

  /** The rest: all in all, as long as the input lasts. */
  finish(): Float32Array {
    if (this.#half === 0) return new Float32Array();
    const total = Math.ceil((this.#received * this.#up) / this.#down);
    const before = this.#made;
    return this.#run(new Float32Array(this.#half + 1)).subarray(0, Math.max(0, total - before));
  }

  #run(input: Float32Array): Float32Array {
    const data = new Float32Array(this.#held.length + input.length);
    data.set(this.#held);
    data.set(input, this.#held.length);
    const end = this.#heldFrom + data.length;
    // An output sample stands at some place in the input, and needs `half` samples behind it.
    const last = Math.floor(((end - this.#half) * this.#up - 1) / this.#down);
    const output = new Float32Array(Math.max(0, last - this.#made + 1));
    for (let index = 0; index < output.length; index++) {
      output[index] = this.#sampleAt(this.#made + index, data);
    }
    this.#made += output.length;
    const keepFrom = Math.floor((this.#made * this.#down) / this.#up) - this.#half + 1;
    this.#held = data.slice(Math.min(data.length, Math.max(0, keepFrom - this.#heldFrom)));
    this.#heldFrom = end - this.#held.length;
    return output;
  }

  #sampleAt(index: number, data: Float32Array): number {
    const position = index * this.#down;
    const whole = Math.floor(position / this.#up);
    const taps = this.#half * 2;
    const row = (position - whole * this.#up) * taps;
    const first = whole - this.#half + 1 - this.#heldFrom;
    const rows = this.#rows;
    let [a, b, c, d] = [0, 0, 0, 0]; // four sums at once, because the additions of one sum wait for each other
    for (let tap = 0; tap < taps; tap += UNROLLED) {
      a += (rows[row + tap] ?? 0) * (data[first + tap] ?? 0);
      b += (rows[row + tap + 1] ?? 0) * (data[first + tap + 1] ?? 0);
      c += (rows[row + tap + 2] ?? 0) * (data[first + tap + 2] ?? 0);
      d += (rows[row + tap + 3] ?? 0) * (data[first + tap + 3] ?? 0);
    }
    return a + b + c + d;
  }
}

/** A row of 2 × half for each of `phases` places, each with a gain of 1. */
function coefficients(phases: number, half: number, cutoff: number): Float32Array {
  const taps = half * 2;
  const rows = new Float32Array(phases * taps);
  if (taps === 0) return rows;
  for (let phase = 0; phase < phases; phase++) {
    const row = Array.from({ length: taps }, (_, tap) =>
      kernel(tap - half + 1 - phase / phases, half, cutoff),
    );
    const gain = row.reduce((sum, value) => sum + value, 0);
    for (const [tap, value] of row.entries()) rows[phase * taps + tap] = value / gain;
  }
  return rows;
}

function kernel(x: number, half: number, cutoff: number): number {
  const angle = Math.PI * x * cutoff;
  const sinc = x === 0 ? 1 : Math.sin(angle) / angle;
  return sinc * besselI0(KAISER_BETA * Math.sqrt(Math.max(0, 1 - (x / half) ** 2)));
}

/** The modified Bessel function of the first kind and order 0, by its series. */
function besselI0(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

const greatestCommonDivisor = (a: number, b: number): number =>
  b === 0 ? a : greatestCommonDivisor(b, a % b);
