/*
 * Noise that belongs to its seed and its place, so that it is the same whenever it is asked for: after a crash a run
 * goes on with the noise that it would have had. Philox 4x32-10: Salmon et al. 2011, "Parallel random numbers: as easy
 * as 1, 2, 3". Normal values: Box & Muller 1958.
 */

/** Which noise of a run: `start` begins a picture, `step` is what one step adds. */
export interface NoisePlace {
  /** From 0. */
  readonly image: number;
  readonly step: number;
  readonly use: 'start' | 'step';
}

const MULTIPLIERS = [0xd251_1f53, 0xcd9e_8d57] as const;
const KEY_STEPS = [0x9e37_79b9, 0xbb67_ae85] as const;
const ROUNDS = 10;
const TWO_32 = 2 ** 32;
const PER_BLOCK = 4;

/** `count` independent values of a normal distribution with mean 0 and deviation 1. `seed`: 0 to 2^53 - 1. */
export function normalNoise(count: number, seed: number, place: NoisePlace): Float32Array {
  const key = [seed >>> 0, Math.floor(seed / TWO_32)] as const;
  const stream = place.use === 'start' ? 0 : 1;
  const values = new Float32Array(count);
  for (let block = 0; block * PER_BLOCK < count; block++) {
    const random = philox([block, place.image, place.step, stream], key);
    for (const pair of [0, 2] as const) {
      const radius = Math.sqrt(-2 * Math.log(uniform(random[pair])));
      const angle = 2 * Math.PI * uniform(random[pair + 1] as number);
      // What lies beyond the end of the array is dropped.
      values[block * PER_BLOCK + pair] = radius * Math.cos(angle);
      values[block * PER_BLOCK + pair + 1] = radius * Math.sin(angle);
    }
  }
  return values;
}

/** In (0, 1). */
const uniform = (bits: number): number => (bits + 0.5) / TWO_32;

type Four = readonly [number, number, number, number];

/** Four random words of 32 bits for a counter and a key. */
export function philox(counter: Four, key: readonly [number, number]): Four {
  let [a, b, c, d] = counter;
  let [left, right] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const [highA, highC] = [highWord(MULTIPLIERS[0], a), highWord(MULTIPLIERS[1], c)];
    const [lowA, lowC] = [Math.imul(MULTIPLIERS[0], a) >>> 0, Math.imul(MULTIPLIERS[1], c) >>> 0];
    [a, b, c, d] = [(highC ^ b ^ left) >>> 0, lowC, (highA ^ d ^ right) >>> 0, lowA];
    left = (left + KEY_STEPS[0]) >>> 0;
    right = (right + KEY_STEPS[1]) >>> 0;
  }
  return [a, b, c, d];
}

/** The upper 32 bits of the product of two words. */
function highWord(a: number, b: number): number {
  const [lowA, highA] = [a & 0xffff, a >>> 16];
  const [lowB, highB] = [b & 0xffff, b >>> 16];
  const middle = highA * lowB + ((lowA * lowB) >>> 16);
  const other = lowA * highB + (middle & 0xffff);
  return (highA * highB + Math.floor(middle / 0x1_0000) + Math.floor(other / 0x1_0000)) >>> 0;
}
