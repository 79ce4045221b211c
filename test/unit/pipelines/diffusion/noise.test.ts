import { normalNoise, philox } from '../../../../src/pipelines/diffusion/noise.ts';

const ONES = 0xffff_ffff;

// The known answers of Random123 (kat_vectors, philox4x32-10).
test.each([
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
  ],
  [
    [ONES, ONES, ONES, ONES],
    [ONES, ONES],
    [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
  ],
  [
    [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
    [0xa409_3822, 0x299f_31d0],
    [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
  ],
] as const)('philox of %j with the key %j', (counter, key, expected) => {
  expect(philox(counter, key)).toEqual(expected);
});

test('the values are those of a normal distribution', () => {
  const values = normalNoise(1 << 18, 9, { image: 1, step: 2, use: 'step' });
  const moment = (power: number) =>
    values.reduce((sum, value) => sum + value ** power, 0) / values.length;

  expect(Math.abs(moment(1))).toBeLessThan(0.01);
  expect(Math.abs(moment(2) - 1)).toBeLessThan(0.02);
  expect(Math.abs(moment(3))).toBeLessThan(0.03);
  expect(Math.abs(moment(4) - 3)).toBeLessThan(0.08);
});

test('each seed, image, step and use has noise of its own, which is always the same', () => {
  const place = { image: 0, step: 0, use: 'start' } as const;
  const first = normalNoise(8, 1, place);
  const others = [
    normalNoise(8, 2, place),
    normalNoise(8, 1 + 2 ** 32, place),
    normalNoise(8, 1, { ...place, image: 1 }),
    normalNoise(8, 1, { ...place, step: 1 }),
    normalNoise(8, 1, { ...place, use: 'step' }),
  ];
  const all = new Set([first, ...others].map(String));

  expect(normalNoise(8, 1, place)).toEqual(first);
  expect(normalNoise(5, 1, place)).toEqual(first.subarray(0, 5));
  expect(all.size).toBe(6);
});
