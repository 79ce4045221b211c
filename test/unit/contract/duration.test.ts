import { formatDuration, parseDurationMs } from '../../../src/contract/duration.ts';

test.each([
  ['90s', 90_000],
  ['1h30m', 5_400_000],
  ['250ms', 250],
  ['1.5s', 1500],
  ['2d', 172_800_000],
  ['0s', 0],
])('%s is %i ms', (text, durationMs) => {
  expect(parseDurationMs(text)).toBe(durationMs);
});

test.each(['', '90', 's', '-1s', '1h 30m', '1w', '1e3s'])('%j is no duration', (text) => {
  expect(parseDurationMs(text)).toBeNull();
});

test('what is formatted parses to the same', () => {
  for (const durationMs of [0, 1, 999, 1000, 61_001, 5_400_000, 86_400_000]) {
    expect(parseDurationMs(formatDuration(durationMs))).toBe(durationMs);
  }
  expect(formatDuration(90_000)).toBe('1m30s');
});
