import {
  convexHull,
  cornersOf,
  type Point,
  smallestRectangle,
} from '../../../src/pipelines/shared/geometry.ts';

test('the hull leaves out what lies within, and what lies on a side', () => {
  const square: Point[] = [
    [0, 0],
    [4, 0],
    [4, 4],
    [0, 4],
  ];
  const hull = convexHull([...square, [2, 2], [2, 0], [1, 3]]);

  expect(new Set(hull.map(String))).toEqual(new Set(square.map(String)));
});

test.each([-40, -10, 0, 7, 30])('a rectangle turned by %p degrees is found again', (degrees) => {
  const line = { x: 300, y: 200, width: 240, height: 30, angle: (degrees * Math.PI) / 180 };
  const found = smallestRectangle(convexHull(cornersOf(line)));

  expect(found.angle).toBeCloseTo(line.angle, 2);
  expect(found.width).toBeCloseTo(240, -1);
  expect(found.height).toBeCloseTo(30, -1);
  expect([found.x, found.y].map(Math.round)).toEqual([300, 200]);
});
