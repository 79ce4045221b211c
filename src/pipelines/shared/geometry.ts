/* Lines of text as rectangles that may be turned. Angles in radians, clockwise on the page. */

export type Point = readonly [x: number, y: number];

/** A rectangle by its middle, turned by `angle` (about -π/4 to π/4: text is read left to right). */
export interface Line {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly angle: number;
}

const RIGHT_ANGLE = Math.PI / 2;

/** The corners in pixels: top left, then clockwise. */
export function cornersOf({ x, y, width, height, angle }: Line): [Point, Point, Point, Point] {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const corner = (along: number, down: number): Point => [
    Math.round(x + along * width * cos - down * height * sin),
    Math.round(y + along * width * sin + down * height * cos),
  ];
  return [corner(-0.5, -0.5), corner(0.5, -0.5), corner(0.5, 0.5), corner(-0.5, 0.5)];
}

/** The convex hull of some points (Andrew's monotone chain, 1979). */
export function convexHull(points: readonly Point[]): readonly Point[] {
  const sorted = points.toSorted((a, b) => a[0] - b[0] || a[1] - b[1]);
  return [...halfHull(sorted), ...halfHull(sorted.toReversed())];
}

function halfHull(points: readonly Point[]): readonly Point[] {
  const chain: Point[] = [];
  for (const point of points) {
    for (;;) {
      const [last, before] = [chain.at(-1), chain.at(-2)];
      if (last === undefined || before === undefined || turn(before, last, point) > 0) break;
      chain.pop();
    }
    chain.push(point);
  }
  return chain.slice(0, -1);
}

const turn = (a: Point, b: Point, c: Point): number =>
  (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);

/** The smallest rectangle of this angle around a hull. */
export function rectangleAt(hull: readonly Point[], angle: number): Line {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const along = hull.map(([x, y]) => x * cos + y * sin);
  const down = hull.map(([x, y]) => y * cos - x * sin);
  const [left, right] = [Math.min(...along), Math.max(...along)];
  const [top, bottom] = [Math.min(...down), Math.max(...down)];
  const [u, v] = [(left + right) / 2, (top + bottom) / 2];
  return {
    x: u * cos - v * sin,
    y: u * sin + v * cos,
    width: right - left,
    height: bottom - top,
    angle,
  };
}

/** The smallest rectangle of any angle around a hull: one of its sides lies on one of the hull's. */
export function smallestRectangle(hull: readonly Point[]): Line {
  let best = rectangleAt(hull, 0);
  for (const [index, [x, y]] of hull.entries()) {
    const [nextX, nextY] = hull[(index + 1) % hull.length] ?? [x, y];
    const direction = Math.atan2(nextY - y, nextX - x);
    const angle = direction - Math.round(direction / RIGHT_ANGLE) * RIGHT_ANGLE;
    const rectangle = rectangleAt(hull, angle);
    if (rectangle.width * rectangle.height < best.width * best.height) best = rectangle;
  }
  return best;
}

/** The middle one of some numbers; 0 when there are none. */
export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
