/*
 * Chooses the next token. The library ignores top_p, and its random numbers belong to the whole process; here a
 * number belongs to its seed and its place in the text, so that a text that goes on after a crash goes on as it
 * would have.
 */
export interface Sampling {
  /** Above 0; higher: less probable tokens come more often. */
  readonly temperature: number;
  /** Only so many of the most probable tokens; 0: all. */
  readonly topK: number;
  /** Only the most probable tokens that have this share of the probability together; 1: all. */
  readonly topP: number;
  /** An integer from 0. */
  readonly seed: number;
}

/** The token for the `position`th place after the prompt, out of the logits of all tokens. */
export function sampleToken(logits: Float32Array, position: number, sampling: Sampling): number {
  const weights = weightsOf(logits, sampling.temperature);
  const candidates = candidatesOf(weights, sampling);
  const count = candidates?.length ?? weights.length;
  const tokenAt = (index: number) => candidates?.[index] ?? index;
  let left = uniform(sampling.seed, position) * weightOf(candidates, weights);
  for (let index = 0; index < count; index += 1) {
    left -= weights[tokenAt(index)] ?? 0;
    if (left < 0) return tokenAt(index);
  }
  return tokenAt(count - 1); // rounding
}

/** Softmax without the division: the most probable token has the weight 1. */
function weightsOf(logits: Float32Array, temperature: number): Float64Array {
  let most = -Infinity;
  for (let token = 0; token < logits.length; token += 1) most = Math.max(most, logits[token] ?? 0);
  const weights = new Float64Array(logits.length);
  for (let token = 0; token < logits.length; token += 1) {
    weights[token] = Math.exp(((logits[token] ?? 0) - most) / temperature);
  }
  return weights;
}

/** The tokens that may be chosen: first the bound of `topK`, then the share of `topP` in what is left. Null: all. */
function candidatesOf(weights: Float64Array, { topK, topP }: Sampling): readonly number[] | null {
  const isCut = topK > 0 && topK < weights.length;
  const best = isCut ? mostProbable(weights, (count) => count >= topK).slice(0, topK) : null;
  if (topP >= 1) return best;
  const share = topP * weightOf(best, weights);
  const sorted = best ?? mostProbable(weights, (_count, weight) => weight >= share);
  let sum = 0;
  const last = sorted.findIndex((token) => (sum += weights[token] ?? 0) >= share);
  return last === -1 ? sorted : sorted.slice(0, last + 1);
}

/**
 * Enough tokens, the most probable first. Sorting a whole vocabulary takes longer than a small model, so only what
 * lies above a bound is sorted, which falls until that is enough.
 */
function mostProbable(
  weights: Float64Array,
  isEnough: (count: number, weight: number) => boolean,
): readonly number[] {
  for (let bound = 1e-3; ; bound = bound < 1e-15 ? 0 : bound * 1e-3) {
    const above: number[] = [];
    let weight = 0;
    for (let token = 0; token < weights.length; token += 1) {
      const each = weights[token] ?? 0;
      if (each < bound) continue;
      above.push(token);
      weight += each;
    }
    if (bound > 0 && !isEnough(above.length, weight)) continue;
    return above.sort((a, b) => (weights[b] ?? 0) - (weights[a] ?? 0) || a - b);
  }
}

/** The weight of these tokens together; null: of all. */
function weightOf(tokens: readonly number[] | null, weights: Float64Array): number {
  let sum = 0;
  const count = tokens?.length ?? weights.length;
  for (let index = 0; index < count; index += 1) sum += weights[tokens?.[index] ?? index] ?? 0;
  return sum;
}

/** A number in [0, 1) for a seed and a position: the same whenever it is asked for. */
export function uniform(seed: number, position: number): number {
  const key =
    mixed(mixed(seed >>> 0) ^ Math.floor(seed / 2 ** 32)) ^ Math.imul(position, 0x9e3779b9);
  const high = mixed(key) >>> 5;
  const low = mixed(key ^ 0x85ebca6b) >>> 6;
  return (high * 2 ** 26 + low) / 2 ** 53;
}

/** The last step of MurmurHash3: each bit of the result depends on each bit of the number. */
function mixed(number: number): number {
  let bits = number | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
