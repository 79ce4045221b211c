/*
 * Finds lines of text with a DB network (Liao et al., "Real-time Scene Text Detection with
 * Differentiable Binarization", arXiv:1911.08947): it gives each pixel the probability of lying
 * in the shrunken kernel of a line; connected kernels are grown back to lines.
 */
import { type Session, Tensor } from '../../model/session.ts';
import { type Box, resizeRegion, type RgbImage, toPlanes } from '../shared/image.ts';

const NORMAL = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] }; // ImageNet's
const STRIDE = 32; // the network halves its input five times
const MAX_SIDE = 1600; // beyond this memory and time grow, and print stays readable for detection
const PIXEL_THRESHOLD = 0.3;
const BOX_THRESHOLD = 0.5; // mean probability within a kernel
const MIN_KERNEL_PIXELS = 20;
const GROWTH = 1.8; // the unclip ratio; the paper has 1.5, which cuts off the full stop of a long line

/** Axis-aligned boxes of the lines of a page, in pixels of that page, in no particular order. */
export async function detectLines(session: Session, page: RgbImage): Promise<Box[]> {
  const size = networkSize(page);
  const planes = new Float32Array(3 * size.width * size.height);
  toPlanes(await resizeRegion(page, size), NORMAL, planes);
  const output = await session.runOne(
    new Tensor('float32', planes, [1, 3, size.height, size.width]),
  );
  const probabilities = output.data as Float32Array;
  const scale = { x: page.width / size.width, y: page.height / size.height };
  return findKernels(probabilities, size.width, size.height)
    .map((kernel) => grow(kernel))
    .map((box) => ({
      left: Math.max(0, Math.floor(box.left * scale.x)),
      top: Math.max(0, Math.floor(box.top * scale.y)),
      right: Math.min(page.width, Math.ceil(box.right * scale.x)),
      bottom: Math.min(page.height, Math.ceil(box.bottom * scale.y)),
    }))
    .filter((box) => box.right - box.left >= 3 && box.bottom - box.top >= 3);
}

function networkSize(page: RgbImage): { width: number; height: number } {
  const scale = Math.min(1, MAX_SIDE / Math.max(page.width, page.height));
  const fit = (pixels: number) => Math.max(STRIDE, Math.round((pixels * scale) / STRIDE) * STRIDE);
  return { width: fit(page.width), height: fit(page.height) };
}

/** Connected components (4 neighbours) of the pixels above the threshold. */
function findKernels(probabilities: Float32Array, width: number, height: number): Box[] {
  const seen = new Uint8Array(width * height);
  const stack = new Int32Array(width * height);
  const kernels: Box[] = [];
  for (let start = 0; start < probabilities.length; start++) {
    if (seen[start] === 1 || (probabilities[start] ?? 0) < PIXEL_THRESHOLD) continue;
    let [left, right, top, bottom, count, sum, depth] = [width, 0, height, 0, 0, 0, 0];
    const visit = (pixel: number) => {
      if (seen[pixel] === 1 || (probabilities[pixel] ?? 0) < PIXEL_THRESHOLD) return;
      seen[pixel] = 1;
      stack[depth++] = pixel;
    };
    visit(start);
    while (depth > 0) {
      const pixel = stack[--depth] ?? 0;
      const x = pixel % width;
      const y = (pixel - x) / width;
      count += 1;
      sum += probabilities[pixel] ?? 0;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y + 1);
      if (x > 0) visit(pixel - 1);
      if (x + 1 < width) visit(pixel + 1);
      if (y > 0) visit(pixel - width);
      if (y + 1 < height) visit(pixel + width);
    }
    if (count >= MIN_KERNEL_PIXELS && sum / count >= BOX_THRESHOLD) {
      kernels.push({ left, top, right, bottom });
    }
  }
  return kernels;
}

function grow(kernel: Box): Box {
  const width = kernel.right - kernel.left;
  const height = kernel.bottom - kernel.top;
  const distance = (width * height * GROWTH) / (2 * (width + height));
  return {
    left: kernel.left - distance,
    top: kernel.top - distance,
    right: kernel.right + distance,
    bottom: kernel.bottom + distance,
  };
}
