import { randomBytes } from 'node:crypto';

const FIRST_CAPACITY = 1024;
const FNV_PRIME = 0x01000193;
const MIXER = 0x85ebca6b;

/**
 * Which custom ids a batch has had so far. Only 64 bits of a hash of each are kept, because there may be a million of
 * them: 16 MB. The chance that two different ones of a million look the same is one in 30 million.
 */
export class CustomIds {
  readonly #seeds = new Uint32Array(randomBytes(8).buffer.slice(0, 8));
  /** Pairs of 32 bits; a pair of zeros is an empty place (open addressing). */
  #table = new Uint32Array(2 * FIRST_CAPACITY);
  #size = 0;

  /** Returns whether it is new. */
  add(id: string): boolean {
    const [a, b] = this.#hash(id);
    if (!insert(this.#table, a, b)) return false;
    this.#size += 1;
    if (4 * this.#size > this.#table.length) this.#grow();
    return true;
  }

  /** At most half of the places are taken, so that the next empty one is near. */
  #grow(): void {
    const before = this.#table;
    this.#table = new Uint32Array(2 * before.length);
    for (let at = 0; at < before.length; at += 2) {
      const [a, b] = [before[at] ?? 0, before[at + 1] ?? 0];
      if (a !== 0 || b !== 0) insert(this.#table, a, b);
    }
  }

  #hash(id: string): readonly [number, number] {
    let [a = 0, b = 0] = this.#seeds;
    for (let at = 0; at < id.length; at++) {
      const code = id.charCodeAt(at);
      a = Math.imul(a ^ code, FNV_PRIME);
      b = Math.imul(b ^ code, MIXER);
      b ^= b >>> 15;
    }
    a = Math.imul(a ^ (a >>> 16), MIXER);
    return [(a ^ (a >>> 13)) >>> 0, (b | 1) >>> 0]; // never two zeros
  }
}

/** Returns whether it was not there. */
function insert(table: Uint32Array, a: number, b: number): boolean {
  const mask = table.length - 1;
  for (let at = (2 * a) & mask; ; at = (at + 2) & mask) {
    const foundA = table[at];
    const foundB = table[at + 1];
    if (foundA === a && foundB === b) return false;
    if (foundA !== 0 || foundB !== 0) continue;
    table[at] = a;
    table[at + 1] = b;
    return true;
  }
}
