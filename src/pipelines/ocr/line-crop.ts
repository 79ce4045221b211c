/* Cuts a line out of its page, upright, straight into the planes that a network takes. */
import { HALF_RANGE, type RgbImage } from '../shared/image.ts';
import type { Line } from '../shared/geometry.ts';

const CUBIC = -0.5; // Catmull-Rom

/**
 * The line as planes [3, height, rowLength] of -1 to 1 in the order blue, green, red, `width` pixels
 * of each row in use. Pixels are averaged where it shrinks, and interpolated where it does not.
 */
export function cropLine(
  page: RgbImage,
  line: Line,
  size: { readonly width: number; readonly height: number; readonly rowLength: number },
): Float32Array {
  const { width, height, rowLength } = size;
  const planeLength = height * rowLength;
  const planes = new Float32Array(3 * planeLength);
  const [cos, sin] = [Math.cos(line.angle), Math.sin(line.angle)];
  const [stepX, stepY] = [line.width / width, line.height / height];
  const [acrossCount, downCount] = [Math.round(stepX) || 1, Math.round(stepY) || 1];
  const isShrunk = acrossCount > 1 || downCount > 1;
  const scale = 1 / (HALF_RANGE * acrossCount * downCount);
  const sum = new Float64Array(3);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      sum.fill(0);
      for (let down = 0; down < downCount; down++) {
        const v = (row + (down + 0.5) / downCount) * stepY - line.height / 2;
        for (let across = 0; across < acrossCount; across++) {
          const u = (column + (across + 0.5) / acrossCount) * stepX - line.width / 2;
          const x = line.x + u * cos - v * sin - 0.5;
          const y = line.y + u * sin + v * cos - 0.5;
          if (isShrunk) addLinear(page, x, y, sum);
          else addCubic(page, x, y, sum);
        }
      }
      const target = row * rowLength + column;
      for (let channel = 0; channel < 3; channel++) {
        planes[channel * planeLength + target] = (sum[2 - channel] ?? 0) * scale - 1;
      }
    }
  }
  return planes;
}

const clamp = (value: number, size: number): number =>
  value < 0 ? 0 : value >= size ? size - 1 : value;

function addLinear(page: RgbImage, x: number, y: number, sum: Float64Array): void {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [right, bottom] = [x - left, y - top];
  addPixel(page, left, top, (1 - right) * (1 - bottom), sum);
  addPixel(page, left + 1, top, right * (1 - bottom), sum);
  addPixel(page, left, top + 1, (1 - right) * bottom, sum);
  addPixel(page, left + 1, top + 1, right * bottom, sum);
}

const weightsX = new Float64Array(4);
const weightsY = new Float64Array(4);

function addCubic(page: RgbImage, x: number, y: number, sum: Float64Array): void {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  setCubicWeights(x - left, weightsX);
  setCubicWeights(y - top, weightsY);
  for (let row = 0; row < 4; row++) {
    const weightY = weightsY[row] ?? 0;
    for (let column = 0; column < 4; column++) {
      const weight = weightY * (weightsX[column] ?? 0);
      addPixel(page, left - 1 + column, top - 1 + row, weight, sum);
    }
  }
}

/** Keys, "Cubic convolution interpolation for digital image processing", 1981. */
function setCubicWeights(t: number, weights: Float64Array): void {
  const [t2, t3] = [t * t, t * t * t];
  weights[0] = CUBIC * (t3 - 2 * t2 + t);
  weights[1] = (CUBIC + 2) * t3 - (CUBIC + 3) * t2 + 1;
  weights[2] = -(CUBIC + 2) * t3 + (2 * CUBIC + 3) * t2 - CUBIC * t;
  weights[3] = CUBIC * (t2 - t3);
}

function addPixel(page: RgbImage, x: number, y: number, weight: number, sum: Float64Array): void {
  const { data, width, height } = page;
  const pixel = (clamp(y, height) * width + clamp(x, width)) * 3;
  sum[0] = (sum[0] ?? 0) + (data[pixel] ?? 0) * weight;
  sum[1] = (sum[1] ?? 0) + (data[pixel + 1] ?? 0) * weight;
  sum[2] = (sum[2] ?? 0) + (data[pixel + 2] ?? 0) * weight;
}
