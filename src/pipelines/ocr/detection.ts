/*
 * Finds lines of text with a DB network (Liao et al., "Real-time Scene Text Detection with
 * Differentiable Binarization", arXiv:1911.08947): it gives each pixel the probability of lying
 * in the shrunken kernel of a line; connected kernels are grown back to lines.
 */
import { type Session, Tensor } from '../../onnx/session.ts';
import { type Region, resizeImage, type RgbImage, toPlanes } from '../shared/image.ts';
import {
  convexHull,
  type Line,
  median,
  type Point,
  rectangleAt,
  smallestRectangle,
} from '../shared/geometry.ts';
import { findKernels, type ProbabilityMap } from './kernels.ts';

const STRIDE = 32; // the network halves its input five times
const MAX_SIDE = 1600; // beyond this time grows, and print of the usual sizes is found all the same
const MAX_SECOND_SIDE = 3200; // a blank sheet of any size must not cost a minute
const TILE_SIDE = 960; // the network sees the page in pieces: its memory stays the same
const TILE_MARGIN = 64; // what the network makes of the border of a tile is thrown away
const GROWTH = 1.6; // the unclip ratio: with 1.8 neighbouring lines come in, with 1.4 strokes are cut
/** Lines lower than this in the network's pixels run into each other: measured, 15 bad, 17 good. */
const LOW_LINE = 17;
const GOOD_LINE = 26;
const MAX_ENLARGEMENT = 2;
const LONG_LINE = 4; // heights: shorter lines are too short to have an angle of their own
const STRAY_ANGLE = 0.1; // radians (6°) away from the page's angle: no line is so turned by itself
const MIN_SIDE = 4;

/**
 * The lines of a page, in pixels of that page, in no particular order. Looks at the page shrunk to
 * `MAX_SIDE` and, when that leaves its lines too low, once more as large as they need.
 */
export async function detectLines(session: Session, page: RgbImage): Promise<readonly Line[]> {
  const scale = Math.min(1, MAX_SIDE / Math.max(page.width, page.height));
  const lines = await detectAt(session, page, scale);
  const lineHeight = median(lines.map(({ height }) => height)) * scale;
  const wanted = lines.length === 0 ? 1 : (scale * GOOD_LINE) / lineHeight;
  const largest = MAX_SECOND_SIDE / Math.max(page.width, page.height);
  const second = Math.min(MAX_ENLARGEMENT, wanted, largest);
  const isWorthIt = lines.length === 0 ? scale < 1 : lineHeight < LOW_LINE;
  return isWorthIt && second > scale ? await detectAt(session, page, second) : lines;
}

async function detectAt(session: Session, page: RgbImage, scale: number): Promise<readonly Line[]> {
  const fit = (pixels: number) => Math.max(STRIDE, Math.round((pixels * scale) / STRIDE) * STRIDE);
  const image = await resizeImage(page, { width: fit(page.width), height: fit(page.height) });
  const [scaleX, scaleY] = [page.width / image.width, page.height / image.height];
  const hulls = findKernels(await probabilityMap(session, image)).map((outline) =>
    convexHull(outline.map(([x, y]): Point => [x * scaleX, y * scaleY])),
  );
  return toLines(hulls);
}

/** The network's map of the whole image, put together from the middles of overlapping tiles. */
async function probabilityMap(session: Session, image: RgbImage): Promise<ProbabilityMap> {
  const { width, height } = image;
  const data = new Float32Array(width * height);
  for (const rows of tilesOf(height)) {
    for (const columns of tilesOf(width)) {
      const region = { left: columns.from, top: rows.from, width: columns.size, height: rows.size };
      const tile = await runTile(session, image, region);
      for (let y = rows.keepFrom; y < rows.keepTo; y++) {
        const start = (y - rows.from) * columns.size - columns.from;
        const kept = tile.subarray(start + columns.keepFrom, start + columns.keepTo);
        data.set(kept, y * width + columns.keepFrom);
      }
    }
  }
  return { width, height, data };
}

async function runTile(session: Session, image: RgbImage, region: Region): Promise<Float32Array> {
  const planes = new Float32Array(3 * region.width * region.height);
  toPlanes(image, region, planes);
  const shape = [1, 3, region.height, region.width];
  const output = await session.runOne(new Tensor('float32', planes, shape));
  return output.data as Float32Array;
}

interface Tile {
  readonly from: number;
  readonly size: number;
  readonly keepFrom: number;
  readonly keepTo: number;
}

/** Pieces of one side, of equal size, which overlap by two margins at least. */
function tilesOf(side: number): readonly Tile[] {
  const overlap = 2 * TILE_MARGIN;
  const count = side <= TILE_SIDE ? 1 : Math.ceil((side - overlap) / (TILE_SIDE - overlap));
  const size =
    count === 1 ? side : Math.ceil((side + (count - 1) * overlap) / count / STRIDE) * STRIDE;
  const starts = Array.from({ length: count }, (_, index) =>
    count === 1 ? 0 : Math.round((index * (side - size)) / (count - 1)),
  );
  const seamAfter = (index: number) =>
    Math.floor(((starts[index] ?? 0) + size + (starts[index + 1] ?? 0)) / 2);
  return starts.map((from, index) => ({
    from,
    size,
    keepFrom: index === 0 ? 0 : seamAfter(index - 1),
    keepTo: index === count - 1 ? side : seamAfter(index),
  }));
}

/** Kernels → lines: long ones have their own angle, the others that of the page. */
function toLines(hulls: readonly (readonly Point[])[]): readonly Line[] {
  const own = hulls.map((hull) => ({ hull, rectangle: smallestRectangle(hull) }));
  const isLong = ({ width, height }: Line) => width > LONG_LINE * height;
  const angle = commonAngle(own.map(({ rectangle }) => rectangle).filter(isLong));
  return own
    .map(({ hull, rectangle }) => {
      const isStray = Math.abs(rectangle.angle - angle) >= STRAY_ANGLE;
      return isLong(rectangle) && !isStray ? rectangle : rectangleAt(hull, angle);
    })
    .map(grow)
    .filter(({ width, height }) => width >= MIN_SIDE && height >= MIN_SIDE);
}

/** The median of the lines' angles, each as heavy as its line is long; 0 without lines. */
function commonAngle(lines: readonly Line[]): number {
  const half = lines.reduce((sum, { width }) => sum + width, 0) / 2;
  let sum = 0;
  for (const { width, angle } of lines.toSorted((a, b) => a.angle - b.angle)) {
    sum += width;
    if (sum >= half) return angle;
  }
  return 0;
}

function grow(line: Line): Line {
  const { width, height } = line;
  const distance = (width * height * GROWTH) / (2 * (width + height));
  return { ...line, width: width + 2 * distance, height: height + 2 * distance };
}
