/*
 * Which chunks of a batch are begun next. It knows no speeds: a chunk ends by its own clock and says how far it came.
 *
 *  P1  Every item lies in exactly one range: of a chunk that runs, or that is done, or of what is left.
 *  P2  A batch begins with one chunk. While chunks end by their time and new ones need not wait, there become more, so
 *      that a fast batch takes few chunks, and a slow one all workers that there are.
 *  P3  What is left is shared among the free places, so that they end at about the same time.
 */
import type { ItemRange } from '../contract/batch.ts';

/** The most chunks that are under way at once. */
const MAX_WIDTH = 16;
/** A chunk that had to wait longer was begun when all workers were busy. */
const PROMPT_MS = 1000;

export class ChunkPlan {
  #left: readonly ItemRange[];
  #width: number;
  #running = 0;
  #isStopped = false;

  constructor(left: readonly ItemRange[], width = 1) {
    this.#left = left;
    this.#width = width;
  }

  /** What is neither done nor under way. */
  get left(): readonly ItemRange[] {
    return this.#left;
  }

  get width(): number {
    return this.#width;
  }

  /** The next chunk to begin; null: none for now. */
  next(): ItemRange | null {
    const free = this.#width - this.#running;
    if (this.#isStopped || free <= 0) return null;
    const [largest, ...others] = this.#left.toSorted((a, b) => sizeOf(b) - sizeOf(a));
    if (largest === undefined) return null;
    const sharing = Math.max(1, free - others.length);
    const to = largest.from + Math.ceil(sizeOf(largest) / sharing); // P3
    this.#left = to < largest.to ? [{ from: to, to: largest.to }, ...others] : others;
    this.#running += 1;
    return { from: largest.from, to };
  }

  /** A chunk has ended before item `to`, after it had waited so long for a worker. */
  ended(
    range: ItemRange,
    { to, waitedMs }: { readonly to: number; readonly waitedMs: number },
  ): void {
    this.#running -= 1;
    if (to >= range.to) return;
    this.#left = [...this.#left, { from: to, to: range.to }];
    if (waitedMs < PROMPT_MS) this.#width = Math.min(MAX_WIDTH, 2 * this.#width); // P2
  }

  /** A chunk was given up: none of its items is done. */
  failed(range: ItemRange): void {
    this.#running -= 1;
    this.#left = [...this.#left, range];
  }

  /** No more chunks are begun. */
  stop(): void {
    this.#isStopped = true;
  }
}

const sizeOf = ({ from, to }: ItemRange): number => to - from;
