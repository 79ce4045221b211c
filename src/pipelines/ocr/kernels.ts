/* Connected kernels in a map of probabilities. */
import type { Point } from '../shared/geometry.ts';

const PIXEL_THRESHOLD = 0.3;
const KERNEL_THRESHOLD = 0.5; // mean probability within a kernel
const MIN_KERNEL_PIXELS = 20;

export interface ProbabilityMap {
  readonly width: number;
  readonly height: number;
  readonly data: Float32Array;
}

/**
 * Connected components (4 neighbours) of the pixels above the threshold: of each the corners of the
 * first and the last pixel in each of its rows, which hold its whole outline.
 */
export function findKernels(map: ProbabilityMap): readonly (readonly Point[])[] {
  const search = new KernelSearch(map);
  const kernels: (readonly Point[])[] = [];
  for (let pixel = 0; pixel < map.data.length; pixel++) {
    const kernel = search.from(pixel);
    if (kernel !== null) kernels.push(kernel);
  }
  return kernels;
}

class KernelSearch {
  readonly #map: ProbabilityMap;
  readonly #seen: Uint8Array;
  readonly #stack: Int32Array;
  /** The first and last pixel of the current kernel in each row. */
  readonly #first: Int32Array;
  readonly #last: Int32Array;
  #depth = 0;

  constructor(map: ProbabilityMap) {
    this.#map = map;
    this.#seen = new Uint8Array(map.data.length);
    this.#stack = new Int32Array(map.data.length);
    this.#first = new Int32Array(map.height).fill(map.width);
    this.#last = new Int32Array(map.height).fill(-1);
  }

  /** The kernel around a pixel; null when there is none that was not found before, or a weak one. */
  from(start: number): readonly Point[] | null {
    this.#visit(start);
    if (this.#depth === 0) return null;
    const { width, height, data } = this.#map;
    let [count, sum, top, bottom] = [0, 0, height, -1];
    while (this.#depth > 0) {
      const pixel = this.#stack[--this.#depth] ?? 0;
      const x = pixel % width;
      const y = (pixel - x) / width;
      count += 1;
      sum += data[pixel] ?? 0;
      if (x < (this.#first[y] ?? 0)) this.#first[y] = x;
      if (x > (this.#last[y] ?? 0)) this.#last[y] = x;
      if (y < top) top = y;
      if (y > bottom) bottom = y;
      if (x > 0) this.#visit(pixel - 1);
      if (x + 1 < width) this.#visit(pixel + 1);
      if (y > 0) this.#visit(pixel - width);
      if (y + 1 < height) this.#visit(pixel + width);
    }
    const outline = this.#takeOutline(top, bottom);
    return count >= MIN_KERNEL_PIXELS && sum / count >= KERNEL_THRESHOLD ? outline : null;
  }

  #visit(pixel: number): void {
    if (this.#seen[pixel] === 1 || (this.#map.data[pixel] ?? 0) < PIXEL_THRESHOLD) return;
    this.#seen[pixel] = 1;
    this.#stack[this.#depth++] = pixel;
  }

  #takeOutline(top: number, bottom: number): readonly Point[] {
    const outline: Point[] = [];
    for (let y = top; y <= bottom; y++) {
      const [left, right] = [this.#first[y] ?? 0, (this.#last[y] ?? 0) + 1];
      outline.push([left, y], [left, y + 1], [right, y], [right, y + 1]);
      this.#first[y] = this.#map.width;
      this.#last[y] = -1;
    }
    return outline;
  }
}
